// The one image that the tests' own cluster needs for itself. Without arguments it holds a pod's namespaces open; as the
// volume provider's helper (-p PATH -a create|delete …) it makes or removes a volume's folder.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	path := flag.String("p", "", "a volume's folder")
	action := flag.String("a", "", "create or delete")
	flag.String("s", "", "its size, which a folder does not enforce")
	flag.String("m", "", "its mode, Filesystem")
	flag.Parse()
	if *action == "" {
		pause()
		return
	}
	if err := manage(*action, *path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func manage(action, path string) error {
	if action == "delete" {
		return os.RemoveAll(path)
	}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	return os.Chmod(path, 0o777)
}

// As the first process of a pod it also collects orphans.
func pause() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}
