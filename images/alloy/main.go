// Command alloy is Grafana Alloy with the components that Groundwork's configuration uses.
//
// Upstream publishes the whole as an image only; with all of its components it takes four times as
// long to build. The flags are those of `alloy run` that Groundwork gives.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	_ "github.com/grafana/alloy/internal/component/local/file_match"
	_ "github.com/grafana/alloy/internal/component/loki/process"
	_ "github.com/grafana/alloy/internal/component/loki/source/file"
	_ "github.com/grafana/alloy/internal/component/loki/write"
	_ "github.com/grafana/alloy/internal/component/otelcol/auth/bearer"
	_ "github.com/grafana/alloy/internal/component/otelcol/exporter/loki"
	_ "github.com/grafana/alloy/internal/component/otelcol/exporter/otlphttp"
	_ "github.com/grafana/alloy/internal/component/otelcol/exporter/prometheus"
	_ "github.com/grafana/alloy/internal/component/otelcol/processor/batch"
	_ "github.com/grafana/alloy/internal/component/otelcol/processor/filter"
	_ "github.com/grafana/alloy/internal/component/otelcol/processor/memorylimiter"
	_ "github.com/grafana/alloy/internal/component/otelcol/processor/transform"
	_ "github.com/grafana/alloy/internal/component/otelcol/receiver/loki"
	_ "github.com/grafana/alloy/internal/component/otelcol/receiver/otlp"
	_ "github.com/grafana/alloy/internal/component/otelcol/receiver/splunkhec"
	_ "github.com/grafana/alloy/internal/component/prometheus/remotewrite"
	"github.com/grafana/alloy/internal/featuregate"
	"github.com/grafana/alloy/internal/runtime"
	"github.com/grafana/alloy/internal/runtime/logging"
	"github.com/grafana/alloy/internal/runtime/tracing"
	"github.com/grafana/alloy/internal/service"
	"github.com/grafana/alloy/internal/service/cluster"
	"github.com/grafana/alloy/internal/service/http"
	"github.com/grafana/alloy/internal/service/labelstore"
	"github.com/grafana/alloy/internal/service/livedebugging"
	"github.com/grafana/alloy/internal/service/otel"
	"github.com/grafana/alloy/internal/service/remotecfg"
	"github.com/grafana/alloy/syntax/diag"
	"github.com/prometheus/client_golang/prometheus"
)

func main() {
	if len(os.Args) < 3 || os.Args[1] != "run" {
		fmt.Fprintln(os.Stderr, "usage: alloy run CONFIGURATION [flags]")
		os.Exit(2)
	}
	if err := run(os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "alloy:", err)
		os.Exit(1)
	}
}

func run(path string, arguments []string) error {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	storage := flags.String("storage.path", "data-alloy/", "where components keep what outlives them")
	listen := flags.String("server.http.listen-addr", "127.0.0.1:12345", "address of metrics and readiness")
	profiling := flags.Bool("server.http.enable-pprof", false, "serve profiles")
	flags.String("stability.level", "public-preview", "always: this build has what the configuration uses")
	flags.Bool("disable-reporting", true, "always: this build reports nothing")
	flags.Bool("server.http.disable-support-bundle", true, "always: this build makes none")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	logger, err := logging.NewDeferred(os.Stderr)
	if err != nil {
		return err
	}
	tracer, err := tracing.New(tracing.DefaultOptions)
	if err != nil {
		return err
	}
	log, registry := logger.Slog(), prometheus.DefaultRegisterer

	var controller *runtime.Runtime
	load := func() error { return loadFile(controller, path) }
	server := http.New(http.Options{
		Logger: logger, Tracer: tracer, Gatherer: prometheus.DefaultGatherer,
		ReadyFunc: func() bool { return controller.Ready() }, ReloadFunc: load,
		HTTPListenAddr: *listen, MemoryListenAddr: "alloy.internal:12345", EnablePProf: *profiling,
		MinStability:  featuregate.StabilityPublicPreview,
		BundleContext: http.SupportBundleContext{DisableSupportBundle: true},
	})
	// Some components ask it which share of the targets is theirs; alone, all of them are.
	alone, err := cluster.New(cluster.Options{Log: log, Metrics: registry, Tracer: tracer, NodeName: "alloy", AdvertiseAddress: "127.0.0.1:12345"})
	if err != nil {
		return err
	}
	// The HTTP service names it; without a block of its own in the configuration it does nothing.
	remote, err := remotecfg.New(remotecfg.Options{Logger: log, ConfigPath: path, StoragePath: *storage, Metrics: registry})
	if err != nil {
		return err
	}
	controller, err = runtime.New(runtime.Options{
		Logger: logger, Tracer: tracer, DataPath: *storage, Reg: registry,
		MinStability: featuregate.StabilityPublicPreview,
		Services: []service.Service{
			alone, server, remote, labelstore.New(log, registry, true), livedebugging.New(), otel.New(log),
		},
	})
	if err != nil {
		return err
	}

	done := make(chan struct{})
	go func() {
		controller.Run(ended)
		close(done)
	}()
	if err := load(); err != nil {
		return err
	}
	<-done
	return nil
}

func loadFile(controller *runtime.Runtime, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sources := map[string][]byte{path: content}
	parsed, err := runtime.ParseSources(sources)
	if err == nil {
		err = controller.LoadSource(parsed, nil, path)
	}
	var found diag.Diagnostics
	if errors.As(err, &found) {
		_ = diag.NewPrinter(diag.PrinterConfig{ContextLinesBefore: 1, ContextLinesAfter: 1}).Fprint(os.Stderr, sources, found)
		return errors.New("the configuration is not valid")
	}
	return err
}
