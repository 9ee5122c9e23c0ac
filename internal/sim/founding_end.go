package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
)

// end waits until the pods are one cluster, or two for good, and does what
// they say if a majority was lost.
func (f *founder) end() {
	for range 4 {
		switch {
		case !f.unites():
			f.recover()
			continue
		case f.stopLost():
			continue
		}
		break
	}
	for _, p := range f.cluster.Pods() {
		s := p.Node.Status(context.Background())
		f.out.Clusters[p.Name] = s.Cluster
		f.noteStrangers(p, s)
	}
}

// stopLost does what the nodes log when there are two clusters: it stops the
// nodes of one that has lost its majority, and starts them again.
func (f *founder) stopLost() (stopped bool) {
	pods := f.cluster.Pods()
	clusters := map[string]bool{}
	for _, p := range pods {
		clusters[p.Node.Status(context.Background()).Cluster] = true
	}
	if len(named(clusters)) < 2 {
		return false
	}
	for _, p := range pods {
		id := p.Node.Status(context.Background()).Cluster
		f.mu.Lock()
		isLost := id != "" && f.isLostLocked(id)
		f.mu.Unlock()
		if isLost && !f.o.Durable {
			f.event("%s belongs to cluster %s, which has lost its majority", p.Name, short(id))
			f.cluster.Kill(p)
			f.restart(p)
			stopped = true
		}
	}
	return stopped
}

// noteStrangers notes members of one cluster that are in another one.
func (f *founder) noteStrangers(p *clustertest.Pod, s cluster.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range s.Members {
		for _, o := range f.seen {
			if m.Role != cluster.RoleJoining && o.id == m.ID && o.cluster != "" && o.cluster != s.Cluster {
				f.out.Bridged = append(f.out.Bridged, fmt.Sprintf("%s has %s as a member, who is in %s", p.Name, o.pod, o.cluster))
			}
		}
	}
}

// unites waits until all pods are ready members of one cluster, or have been
// in two for long, and reports whether it came to that.
func (f *founder) unites() bool {
	for start := time.Now(); time.Since(start) < foundTime; time.Sleep(time.Second) {
		clusters := map[string]bool{}
		isReady := true
		for _, p := range f.cluster.Pods() {
			clusters[p.Node.Status(context.Background()).Cluster] = true
			isReady = isReady && p.Node.Ready() == nil
		}
		isSplit := len(named(clusters)) > 1 && time.Since(start) > time.Minute
		if isReady && len(clusters) == 1 || isSplit {
			return true
		}
	}
	return false
}

// named returns clusters without those of pods that are in none.
func named(clusters map[string]bool) (ids []string) {
	for id := range clusters {
		if id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// recover does what a node says that has lost the majority of its cluster.
func (f *founder) recover() {
	pods := f.cluster.Pods()
	for _, p := range pods {
		problems := strings.Join(p.Node.Status(context.Background()).Problems, "\n")
		_, advice, found := strings.Cut(problems, "run on ")
		if !found || !strings.Contains(advice, "huddle recover") {
			continue
		}
		i := slices.IndexFunc(pods, func(o *clustertest.Pod) bool { return strings.HasPrefix(advice, o.Name+" ") })
		if i < 0 {
			continue
		}
		f.recoverOn(pods[i])
		return
	}
	var b strings.Builder
	for _, p := range pods {
		fmt.Fprintf(&b, "%s at %s: ready: %v\n%+v\n", p.Name, p.Addr, p.Node.Ready(), p.Node.Status(context.Background()))
	}
	f.t.Fatalf("HUDDLE_SEED=%d: the pods are no cluster after %s, and say of no recovery\n%s", f.o.Seed, foundTime, b.String())
}

func (f *founder) recoverOn(seed *clustertest.Pod) {
	f.mu.Lock()
	f.out.Recovered++
	f.mu.Unlock()
	old := seed.Node.Status(context.Background()).Cluster
	report, err := seed.Node.Recover(context.Background(), cluster.RecoverOptions{})
	f.event("recovered on %s: %v\n%s", seed.Name, err, report)
	if err != nil {
		f.t.Fatalf("HUDDLE_SEED=%d: recovering on %s: %v", f.o.Seed, seed.Name, err)
	}
	for _, p := range f.cluster.Pods() {
		if p != seed && p.Node.Status(context.Background()).Cluster == old {
			f.cluster.Kill(p)
			f.restart(p)
		}
	}
}
