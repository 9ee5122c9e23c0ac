package sessions

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/huddlecache/huddle/cluster/machine"
)

// A Position is a place in a cluster's log: everything written up to there
// has been seen. Each call returns the one that it has seen, and a local read
// that is given one is never older than that. The zero Position is before
// everything.
type Position struct {
	Cluster string // cluster ID
	Index   uint64 // of an entry of its log
}

// maxPosition is longer than any position of a cluster.
const maxPosition = 128

// PositionOf returns the position of a stamp.
func PositionOf(at machine.Stamp) Position { return Position{at.Cluster, at.Index} }

// ParsePosition reads what String wrote. An empty string is the zero Position.
func ParsePosition(s string) (Position, error) {
	if s == "" {
		return Position{}, nil
	}
	cut := strings.LastIndexByte(s, '-')
	if cut < 1 || len(s) > maxPosition {
		return Position{}, fmt.Errorf("%w: %.*q is no position, which is <cluster>-<index>", ErrInvalid, maxPosition, s)
	}
	index, err := strconv.ParseUint(s[cut+1:], 10, 64)
	if err != nil || !isToken(s[:cut]) {
		return Position{}, fmt.Errorf("%w: %.*q is no position, which is <cluster>-<index>", ErrInvalid, maxPosition, s)
	}
	return Position{s[:cut], index}, nil
}

// isToken reports whether s may stand in a header and a cookie as it is.
func isToken(s string) bool {
	for _, b := range []byte(s) {
		if (b < '0' || b > '9') && (b < 'a' || b > 'z') && (b < 'A' || b > 'Z') && b != '-' && b != '_' {
			return false
		}
	}
	return true
}

// String returns <cluster>-<index>, as in the header Huddle-Index; the zero
// Position is empty.
func (p Position) String() string {
	if p == (Position{}) {
		return ""
	}
	return p.Cluster + "-" + strconv.FormatUint(p.Index, 10)
}

// Consistency returns that of reads that see at least what was written up to
// p, on this node's replica. Behind the zero Position they are linearizable.
func (p Position) Consistency() machine.Consistency {
	if p == (Position{}) {
		return machine.Linearizable
	}
	return machine.AtLeast(p.Cluster, p.Index)
}

// isNews reports whether p tells more than q. Clusters cannot be compared: the
// one heard of last is taken for the present one.
func (p Position) isNews(q Position) bool {
	return p.Cluster != q.Cluster || p.Index > q.Index
}
