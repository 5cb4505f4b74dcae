module zombiezen.com/go/sqlite

go 1.25.0
