package founding_test

import (
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/founding"
)

func TestEvidence(t *testing.T) {
	const s = time.Second
	member := founding.Member{ID: "x", Name: "pod-1"}
	same := func(id string, proved time.Duration) []founding.Sighting {
		return []founding.Sighting{{Member: founding.Member{ID: id, Name: "pod-1"}, ProvedAt: proved}}
	}
	tests := []struct {
		name    string
		durable bool
		e       founding.Evidence
		want    bool
	}{
		{"alive, whatever else", false, founding.Evidence{
			Living: same("x", 0), Forgotten: true, Answering: "y", AnsweredAt: 20 * s, LookedUp: 900 * s,
		}, false},
		{"dead in gossip only", false, founding.Evidence{LookedUp: 900 * s, NamedAt: 900 * s}, false},
		{"restarted in place", false, founding.Evidence{Answering: "y", AnsweredAt: 11 * s, LookedUp: 20 * s, NamedAt: 20 * s}, true},
		{"the address's owner before it", false, founding.Evidence{Answering: "y", AnsweredAt: 10 * s, LookedUp: 20 * s, NamedAt: 20 * s}, false},
		{"out of DNS for a minute", false, founding.Evidence{LookedUp: 75 * s, NamedAt: 15 * s}, true},
		{"out of DNS for less", false, founding.Evidence{LookedUp: 75*s - 1, NamedAt: 15 * s}, false},
		{"never in DNS, lost for less than a minute", false, founding.Evidence{LookedUp: 70*s - 1}, false},
		{"never in DNS, lost for a minute", false, founding.Evidence{LookedUp: 70 * s}, true},
		{"out of DNS, but it answers", false, founding.Evidence{Answering: "x", AnsweredAt: 60 * s, LookedUp: 100 * s, NamedAt: 15 * s}, false},
		{"out of DNS, and answers no more", false, founding.Evidence{Answering: "x", AnsweredAt: 60 * s, LookedUp: 120 * s, NamedAt: 15 * s}, true},
		{"ephemeral, of a replaced name", false, founding.Evidence{Living: same("y", 20*s)}, false},
		{"durable, restarted in place", true, founding.Evidence{Answering: "y", AnsweredAt: 11 * s}, false},
		{"durable, out of DNS for hours", true, founding.Evidence{LookedUp: time.Hour}, false},
		{"durable, replaced", true, founding.Evidence{Living: same("y", 11*s)}, true},
		{"durable, the older of the name is still in gossip", true, founding.Evidence{Living: same("y", 10*s)}, false},
		{"durable, forgotten", true, founding.Evidence{Forgotten: true}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.e.Member, tt.e.LostAt = member, 10*s
			tt.e.Member.Durable = tt.durable
			if got := tt.e.Dead(); got != tt.want {
				t.Errorf("Dead = %v, want %v", got, tt.want)
			}
		})
	}
}
