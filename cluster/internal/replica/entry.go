package replica

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// An entry is the data of one Raft log entry:
//
//	version  1 byte, 1
//	kind     1 byte
//	term     uvarint: the term in which the leader made it
//	body     by kind
//
// An entry that was made in one term and appended in another is refused, so
// that every entry of a term carries stamps of one clock.
const entryVersion = 1

// Kinds of entry, and their bodies.
const (
	// Begin is the first command of each term. It carries no stamp: it takes
	// the last one, and the leader's clock goes on from there.
	//
	//	found    1 byte: 1 if the rest follows, else 0
	//	cluster  string: the cluster ID
	//	seed     16 bytes: key of the cluster's hashes
	//	number   8 bytes: where the number source begins
	//	wall     8 bytes: wall time, nanoseconds since 1970
	//	level    uvarint
	//
	// What was founded once is never founded again.
	kindBegin = 1

	// Work carries commands, or none: then it is a tick of the clock.
	//
	//	lease    8 bytes: lease time, nanoseconds
	//	wall     8 bytes: wall time, nanoseconds since 1970
	//	pressure 1 byte
	//	batches  to the end, each a byte string (see Batch)
	kindWork = 2

	// Open opens an origin for a server and closes its former one.
	//
	//	server   string: server ID
	//	nonce    8 bytes: the same while the server asks for the same origin
	//	durable  1 byte: 1 if the server keeps its state on disk
	kindOpen = 3

	// Raise raises the level.
	//
	//	level    uvarint
	kindRaise = 4
)

// Begin is the first command of a term; Founding is set if the cluster had
// none yet when the leader made it.
type Begin struct {
	Term     uint64
	Founding *Founding
}

// Founding is what a cluster is given at its birth.
type Founding struct {
	Cluster string
	Seed    [16]byte
	Number  uint64
	Wall    time.Duration
	Level   uint32
}

// Append appends the entry to dst.
func (b Begin) Append(dst []byte) []byte {
	dst = appendHead(dst, kindBegin, b.Term)
	if b.Founding == nil {
		return append(dst, 0)
	}
	f := b.Founding
	dst = append(dst, 1)
	dst = wire.AppendString(dst, f.Cluster)
	dst = append(dst, f.Seed[:]...)
	dst = binary.BigEndian.AppendUint64(dst, f.Number)
	dst = binary.BigEndian.AppendUint64(dst, uint64(f.Wall))
	return binary.AppendUvarint(dst, uint64(f.Level))
}

// Work is stamped commands of any number of origins.
type Work struct {
	Term     uint64
	Lease    time.Duration
	Wall     time.Duration
	Pressure machine.Pressure
	Batches  [][]byte // encoded
}

// Append appends the entry to dst.
func (w Work) Append(dst []byte) []byte {
	dst = appendHead(dst, kindWork, w.Term)
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.Lease))
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.Wall))
	dst = append(dst, byte(w.Pressure))
	for _, b := range w.Batches {
		dst = wire.AppendBytes(dst, b)
	}
	return dst
}

// Open asks for an origin.
type Open struct {
	Term    uint64
	Server  string
	Nonce   uint64
	Durable bool
}

// Append appends the entry to dst.
func (o Open) Append(dst []byte) []byte {
	dst = wire.AppendString(appendHead(dst, kindOpen, o.Term), o.Server)
	dst = binary.BigEndian.AppendUint64(dst, o.Nonce)
	return wire.AppendBool(dst, o.Durable)
}

// Raise raises the level.
type Raise struct {
	Term  uint64
	Level uint32
}

// Append appends the entry to dst.
func (e Raise) Append(dst []byte) []byte {
	return binary.AppendUvarint(appendHead(dst, kindRaise, e.Term), uint64(e.Level))
}

func appendHead(dst []byte, kind byte, term uint64) []byte {
	return binary.AppendUvarint(append(dst, entryVersion, kind), term)
}

// Lanes of an origin. Each has its own sequence and memory and one batch in
// flight, so that a large value does not hold up the small ones.
const (
	LaneNormal = 0
	LaneLarge  = 1
	lanes      = 2
)

// A Batch is commands of one origin, sent together. It is encoded once, where
// the commands arrived, and travels unchanged into the log:
//
//	origin   uvarint: index of the entry that opened it
//	lane     1 byte
//	number   uvarint: of the batch in its lane, from 1
//	part     uvarint: of a batch that was cut, from 0
//	count    uvarint
//	items    count times:
//	  feature  1 byte
//	  flags    1 byte: 1 query, 2 frees, 4 idem
//	  idem     string, if flagged
//	  data     byte string
type Batch struct {
	Origin uint64
	Lane   uint8
	Number uint64
	Part   uint64
	Items  []Item
}

// An Item is a command or query for one feature.
type Item struct {
	Feature uint8
	machine.Item
}

const (
	flagQuery = 1 << iota
	flagFrees
	flagIdem
)

// itemOverhead is at least what an encoded item takes: feature, flags and the
// length of its data.
const itemOverhead = 3

// Append appends the batch to dst.
func (b *Batch) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, b.Origin)
	dst = append(dst, b.Lane)
	dst = binary.AppendUvarint(dst, b.Number)
	dst = binary.AppendUvarint(dst, b.Part)
	dst = binary.AppendUvarint(dst, uint64(len(b.Items)))
	for i := range b.Items {
		dst = b.Items[i].append(dst)
	}
	return dst
}

func (it *Item) append(dst []byte) []byte {
	var flags byte
	if it.Query {
		flags |= flagQuery
	}
	if it.Frees {
		flags |= flagFrees
	}
	if it.Idem != "" {
		flags |= flagIdem
	}
	dst = append(dst, it.Feature, flags)
	if it.Idem != "" {
		dst = wire.AppendString(dst, it.Idem)
	}
	return wire.AppendBytes(dst, it.Data)
}

// ParseBatch reads a batch. Its data alias b.
func ParseBatch(b []byte) (Batch, error) {
	r := wire.NewReader(b)
	batch := Batch{Origin: r.Uvarint(), Lane: r.Byte(), Number: r.Uvarint(), Part: r.Uvarint()}
	batch.Items = make([]Item, r.Count(itemOverhead))
	for i := range batch.Items {
		batch.Items[i] = parseItem(r)
	}
	if err := r.Done(); err != nil {
		return Batch{}, fmt.Errorf("reading batch: %w", err)
	}
	if batch.Lane >= lanes {
		return Batch{}, fmt.Errorf("reading batch: lane %d: %w", batch.Lane, wire.ErrMalformed)
	}
	return batch, nil
}

func parseItem(r *wire.Reader) Item {
	it := Item{Feature: r.Byte()}
	flags := r.Byte()
	it.Query = flags&flagQuery != 0
	it.Frees = flags&flagFrees != 0
	if flags&flagIdem != 0 {
		it.Idem = r.String()
	}
	it.Data = r.Bytes()
	return it
}
