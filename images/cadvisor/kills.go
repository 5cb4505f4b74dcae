package main

import (
	"sync"

	"github.com/google/cadvisor/lib/manager"
	"github.com/google/cadvisor/lib/model"
	"github.com/google/cadvisor/utils/oomparser"
)

// killCounter adds the OOM kills of each container to what the manager knows: its library counts none.
type killCounter struct {
	manager.Manager
	mutex sync.Mutex
	kills map[string]uint64 // by the cgroup whose limit was hit
}

// countKills follows the kernel's log; without it, an error comes with a manager that counts none.
func countKills(watch manager.Manager) (manager.Manager, error) {
	log, err := oomparser.New()
	if err != nil {
		return watch, err
	}
	found := make(chan *oomparser.OomInstance)
	counter := &killCounter{Manager: watch, kills: map[string]uint64{}}
	go log.StreamOoms(found)
	go func() {
		for kill := range found {
			counter.mutex.Lock()
			counter.kills[kill.ContainerName]++
			counter.mutex.Unlock()
		}
	}()
	return counter, nil
}

func (counter *killCounter) GetRequestedContainersInfo(name string, options model.RequestOptions) (map[string]*model.ContainerInfo, error) {
	containers, err := counter.Manager.GetRequestedContainersInfo(name, options)
	counter.mutex.Lock()
	defer counter.mutex.Unlock()
	for _, item := range containers {
		for _, sample := range item.Stats {
			sample.OOMEvents = counter.kills[item.Name]
		}
	}
	return containers, err
}
