package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/memberlist"
)

// Meta is what a node says of itself to all others.
type Meta struct {
	ID       string // server ID, the same as long as the node's identity lives
	Name     string // for people; what is over 255 bytes is cut off
	PeerPort uint16
	Cluster  string // cluster ID, empty while the node is in none
	Version  string // release, for people; what is over 64 bytes is cut off
	Level    uint32 // newest level that the node knows
	Flags    Flags
}

// Flags are facts about a node. Bits without a name travel as they are.
type Flags uint8

// The flags that have a name.
const (
	Durable Flags = 1 << iota // keeps its identity over restarts
	Leaving                   // is about to go; when it has fallen silent it has left
	Ready                     // serves
)

// Has reports whether all of some flags are set.
func (f Flags) Has(flags Flags) bool { return f&flags == flags }

const (
	maxID      = 64
	maxCluster = 64
	maxVersion = 64
	maxName    = 255

	metaFormat = 1
	metaFlags  = 3 // offset
	metaHeader = 8
)

// ErrMeta means that metadata cannot be sent, or was not understood.
var ErrMeta = errors.New("invalid metadata")

// The longest metadata fits: memberlist panics where it does not.
const _ = uint(memberlist.MetaMaxSize - metaHeader - (1 + maxCluster) - (1 + maxVersion) - (1 + maxName))

// encode returns metadata as bytes. The ID is not in it: memberlist carries it
// as the node's name.
//
//	 0      1          3       4          8
//	+------+----------+-------+----------+---------+---------+------+
//	| 0x01 | PeerPort | Flags | Level    | Cluster | Version | Name |
//	+------+----------+-------+----------+---------+---------+------+
//
// Numbers are big endian; a text is its length in one byte and its bytes. A
// later release may append fields: what follows the name is ignored.
func (m Meta) encode() ([]byte, error) {
	switch {
	case m.ID == "" || len(m.ID) > maxID:
		return nil, fmt.Errorf("%w: ID of %d bytes, want 1 to %d", ErrMeta, len(m.ID), maxID)
	case len(m.Cluster) > maxCluster:
		return nil, fmt.Errorf("%w: cluster ID of %d bytes, want at most %d", ErrMeta, len(m.Cluster), maxCluster)
	}
	b := []byte{metaFormat}
	b = binary.BigEndian.AppendUint16(b, m.PeerPort)
	b = append(b, byte(m.Flags))
	b = binary.BigEndian.AppendUint32(b, m.Level)
	b = appendText(b, m.Cluster)
	b = appendText(b, shorten(m.Version, maxVersion))
	return appendText(b, shorten(m.Name, maxName)), nil
}

// parseMeta decodes what encode has encoded, for the node of a given ID.
func parseMeta(id string, b []byte) (Meta, error) {
	switch {
	case id == "" || len(id) > maxID:
		return Meta{}, fmt.Errorf("%w: ID of %d bytes, want 1 to %d", ErrMeta, len(id), maxID)
	case len(b) < metaHeader:
		return Meta{}, fmt.Errorf("%w: %d bytes of %q", ErrMeta, len(b), id)
	case b[0] != metaFormat:
		return Meta{}, fmt.Errorf("%w: format %d of %q, want %d", ErrMeta, b[0], id, metaFormat)
	}
	m := Meta{
		ID:       id,
		PeerPort: binary.BigEndian.Uint16(b[1:]),
		Flags:    Flags(b[3]),
		Level:    binary.BigEndian.Uint32(b[4:]),
	}
	b = b[metaHeader:]
	for _, field := range []struct {
		text *string
		most int
	}{{&m.Cluster, maxCluster}, {&m.Version, maxVersion}, {&m.Name, maxName}} {
		if len(b) == 0 || int(b[0]) > min(len(b)-1, field.most) {
			return Meta{}, fmt.Errorf("%w: text of %q cut short or too long", ErrMeta, id)
		}
		end := 1 + int(b[0])
		*field.text = string(b[1:end])
		b = b[end:]
	}
	return m, nil
}

func appendText(b []byte, s string) []byte {
	b = append(b, byte(len(s)))
	return append(b, s...)
}

// shorten makes a text for people fit, and valid UTF-8.
func shorten(s string, most int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
