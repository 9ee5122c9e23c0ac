package e2e

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// serviceName is the name that all nodes join.
const serviceName = "huddle-headless.default.svc.cluster.local"

// headless is a DNS server that names the pods of one headless service, ready
// or not (publishNotReadyAddresses), and nothing else.
type headless struct {
	addr string // host:port, the same for UDP and TCP

	mu   sync.Mutex // guards pods
	pods map[netip.Addr]bool
}

// startHeadless serves until the test ends.
func startHeadless(t *testing.T) *headless {
	t.Helper()
	h := &headless{pods: make(map[netip.Addr]bool)}
	packets, listener := listenBoth(t)
	h.addr = listener.Addr().String()
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: h}, {Listener: listener, Handler: h}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		var wg sync.WaitGroup
		wg.Go(func() { server.ActivateAndServe() }) // until Shutdown
		<-started
		t.Cleanup(func() {
			server.Shutdown()
			wg.Wait()
		})
	}
	return h
}

// listenBoth opens one port for UDP and TCP.
func listenBoth(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	var lastErr error
	for range 100 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		packets, err := net.ListenPacket("udp", listener.Addr().String())
		if err == nil {
			return packets, listener
		}
		listener.Close()
		lastErr = err
	}
	t.Fatal(lastErr)
	return nil, nil
}

func (h *headless) add(addr netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pods[addr] = true
}

func (h *headless) remove(addr netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.pods, addr)
}

// ServeDNS answers as Kubernetes does: the pods' A records in no order, no
// AAAA records, and no such name while there are no pods.
func (h *headless) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	answer := new(dns.Msg)
	answer.SetReply(query)
	answer.Authoritative = true
	question := query.Question[0]
	h.mu.Lock()
	if !strings.EqualFold(question.Name, dns.Fqdn(serviceName)) || len(h.pods) == 0 {
		answer.Rcode = dns.RcodeNameError
	} else if question.Qtype == dns.TypeA {
		for addr := range h.pods {
			answer.Answer = append(answer.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1},
				A:   addr.AsSlice(),
			})
		}
	}
	h.mu.Unlock()
	w.WriteMsg(answer)
}

func TestHeadlessService(t *testing.T) {
	h := startHeadless(t)
	lookup := func(network string, qtype uint16) *dns.Msg {
		t.Helper()
		query := new(dns.Msg).SetQuestion(dns.Fqdn(serviceName), qtype)
		answer, _, err := (&dns.Client{Net: network}).ExchangeContext(t.Context(), query, h.addr)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	for _, network := range []string{"udp", "tcp"} {
		if got, want := lookup(network, dns.TypeA).Rcode, dns.RcodeNameError; got != want {
			t.Errorf("%s, no pods: got %v, want %v", network, got, want)
		}
		pod := netip.MustParseAddr("127.1.2.3")
		h.add(pod)
		if got := lookup(network, dns.TypeA).Answer; len(got) != 1 || got[0].(*dns.A).A.String() != pod.String() {
			t.Errorf("%s, one pod: got %v, want %v", network, got, pod)
		}
		if got := lookup(network, dns.TypeAAAA); len(got.Answer) != 0 || got.Rcode != dns.RcodeSuccess {
			t.Errorf("%s, AAAA: got %v, want an empty answer", network, got)
		}
		h.remove(pod)
	}
}
