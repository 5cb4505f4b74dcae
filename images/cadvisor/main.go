// Command cadvisor exposes the containers of a Docker engine as Prometheus metrics.
//
// It wires cAdvisor's own packages with the flags that the official command has, as far as
// Groundwork uses them, so that one service description fits both images.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os/signal"
	"strings"
	"syscall"
	"time"

	_ "github.com/google/cadvisor/container/docker/install"
	"github.com/google/cadvisor/lib/cache/memory"
	"github.com/google/cadvisor/lib/container"
	"github.com/google/cadvisor/lib/manager"
	"github.com/google/cadvisor/lib/metrics"
	"github.com/google/cadvisor/lib/model"
	"github.com/google/cadvisor/lib/utils/sysfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

const kept = 2 * time.Minute // how long samples are held in memory; Prometheus asks for the last only

var (
	port        = flag.Int("port", 8080, "port to listen on")
	storeLabels = flag.Bool("store_container_labels", true, "turn every container label into a metric label")
	labels      = flag.String("whitelisted_container_labels", "", "container labels to keep where store_container_labels is off, comma separated")
	enabled     = container.MetricSet{}
)

func main() {
	klog.InitFlags(nil)
	flag.Var(&enabled, "enable_metrics", "kinds of metrics to collect, comma separated")
	flag.Parse()
	if err := run(); err != nil {
		klog.Exit(err)
	}
}

func run() error {
	watch, err := manager.New(
		memory.New(kept, nil), sysfs.NewRealSysFs(), manager.HousekeepingConfigFlags, enabled,
		[]string{""}, []string{""}, "", 0,
	)
	if err != nil {
		return fmt.Errorf("no view of the host's containers: %w", err)
	}
	if err := watch.Start(); err != nil {
		return fmt.Errorf("watching containers: %w", err)
	}
	counted, err := countKills(watch)
	if err != nil {
		klog.Warningf("no OOM kills are counted: %v", err)
	}

	describe := metrics.DefaultContainerLabels
	if !*storeLabels {
		describe = metrics.BaseContainerLabels(strings.Split(*labels, ","))
	}
	latest := model.RequestOptions{IdType: model.TypeName, Count: 1, Recursive: true}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		metrics.NewPrometheusCollector(counted, describe, enabled, clock.RealClock{}, latest),
		metrics.NewPrometheusMachineCollector(watch, enabled),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)

	routes := http.NewServeMux()
	routes.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	routes.HandleFunc("GET /healthz", func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprintln(answer, "ok") })
	server := &http.Server{Addr: fmt.Sprintf(":%d", *port), Handler: routes, ReadHeaderTimeout: 10 * time.Second}

	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		<-ended.Done()
		_ = server.Close() // the process ends with it
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return watch.Stop()
}
