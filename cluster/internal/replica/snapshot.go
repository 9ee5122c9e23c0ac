package replica

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	"github.com/tidwall/btree"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/cluster/machine/snap"
	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// A snapshot is the state as it was between two entries:
//
//	magic    4 bytes, "HUDL"
//	version  1 byte, 1
//	sections each
//	  feature  1 byte: 0 the shell, first; then the features in order; 254 what is staged
//	  chunks   each a byte string that is not empty; an empty one ends the section
//	end      1 byte, 255
//
// A feature's section is what its machine wrote. The shell's is:
//
//	stamp    cluster string, index uvarint, lease 8 bytes, wall 8 bytes, level uvarint
//	seed     16 bytes
//	number   8 bytes
//	members  count uvarint, each a string
//	origins  count uvarint, each: id uvarint, server string, nonce 8 bytes, durable 1 byte, and
//	         for each lane batch uvarint, parts uvarint, each: replies uvarint, each: error 1 byte, data bytes
//	deadlines count uvarint, each: at 8 bytes, feature 1 byte, key string
//	idem     count uvarint, each: id string, command 16 bytes, reply bytes, until 8 bytes
const (
	snapshotMagic   = "HUDL"
	snapshotVersion = 1
	stagingID       = 254
	sectionEnd      = 255
	chunkSize       = 32 << 10
)

// Errors of a reply travel as one byte.
var replyErrors = []error{
	nil, machine.ErrFull, machine.ErrOverloaded, machine.ErrReused, machine.ErrTooBig,
	machine.ErrNoQuorum, machine.ErrLoading, machine.ErrUnknown,
}

// AppendReply appends a reply: its error as one byte, and its data.
func AppendReply(dst []byte, reply machine.Reply) []byte {
	code := slices.Index(replyErrors, reply.Err)
	if code < 0 {
		code = slices.Index(replyErrors, machine.ErrUnknown)
	}
	return wire.AppendBytes(append(dst, byte(code)), reply.Data)
}

// ParseReply takes a reply off the front of r.
func ParseReply(r *wire.Reader) machine.Reply {
	code := r.Byte()
	reply := machine.Reply{Data: r.Bytes(), Err: machine.ErrUnknown}
	if int(code) < len(replyErrors) {
		reply.Err = replyErrors[code]
	}
	return reply
}

// replyLeast is at least what an encoded reply takes.
const replyLeast = 2

// view is a frozen state.
type view struct {
	stamp     machine.Stamp
	seed      [16]byte
	number    uint64
	members   []string
	origins   []origin
	deadlines *btree.BTreeG[deadline]
	idem      *btree.BTreeG[remembered]
	features  []uint8
	machines  []io.WriterTo
	staging   staging // id empty: none
	restored  restored
}

// Snapshot implements raft.FSM. It takes no longer for a large state.
func (r *Replica) Snapshot() (raft.FSMSnapshot, error) {
	v, err := r.freeze()
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (r *Replica) freeze() (*view, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		return nil, r.failed
	}
	s := &r.state
	v := &view{
		stamp: s.stamp, seed: s.seed, number: s.number,
		members:   slices.Sorted(maps.Keys(s.members)),
		deadlines: s.deadlines.Copy(),
		idem:      s.idem.Copy(),
		features:  slices.Sorted(maps.Keys(s.machines)),
	}
	for _, id := range slices.Sorted(maps.Keys(s.origins)) {
		v.origins = append(v.origins, *s.origins[id])
	}
	for _, id := range v.features {
		v.machines = append(v.machines, s.machines[id].Snapshot())
	}
	v.restored = s.restored
	if s.staging != nil {
		v.staging = *s.staging // its pieces are only ever added to
	}
	return v, nil
}

// Persist implements raft.FSMSnapshot.
func (v *view) Persist(sink raft.SnapshotSink) error {
	if _, err := v.WriteTo(sink); err != nil {
		return errors.Join(fmt.Errorf("writing snapshot: %w", err), sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (v *view) Release() {}

// WriteTo implements io.WriterTo.
func (v *view) WriteTo(w io.Writer) (int64, error) {
	count := &snap.Counter{To: w}
	buf := bufio.NewWriterSize(count, chunkSize)
	buf.WriteString(snapshotMagic)
	buf.WriteByte(snapshotVersion)
	if err := writeSection(buf, shellID, v.writeShell); err != nil {
		return count.N, err
	}
	for i, id := range v.features {
		err := writeSection(buf, id, func(w io.Writer) error {
			_, err := v.machines[i].WriteTo(w)
			return err
		})
		if err != nil {
			return count.N, err
		}
	}
	if v.staging.id != "" || v.restored.id != "" {
		if err := writeSection(buf, stagingID, v.writeStaging); err != nil {
			return count.N, err
		}
	}
	buf.WriteByte(sectionEnd)
	err := buf.Flush()
	return count.N, err
}

func (v *view) writeShell(w io.Writer) error {
	b := wire.AppendString(nil, v.stamp.Cluster)
	b = binary.AppendUvarint(b, v.stamp.Index)
	b = binary.BigEndian.AppendUint64(b, uint64(v.stamp.Lease))
	b = binary.BigEndian.AppendUint64(b, uint64(v.stamp.Wall))
	b = binary.AppendUvarint(b, uint64(v.stamp.Level))
	b = append(b, v.seed[:]...)
	b = binary.BigEndian.AppendUint64(b, v.number)
	b = binary.AppendUvarint(b, uint64(len(v.members)))
	for _, id := range v.members {
		b = wire.AppendString(b, id)
	}
	b = binary.AppendUvarint(b, uint64(len(v.origins)))
	for i := range v.origins {
		b = v.origins[i].append(b)
	}
	b = binary.AppendUvarint(b, uint64(v.deadlines.Len()))
	if _, err := w.Write(b); err != nil {
		return err
	}
	if err := writeAll(w, v.deadlines, deadline.append); err != nil {
		return err
	}
	if _, err := w.Write(binary.AppendUvarint(nil, uint64(v.idem.Len()))); err != nil {
		return err
	}
	return writeAll(w, v.idem, remembered.append)
}

// writeAll writes every item of a tree.
func writeAll[T any](w io.Writer, tree *btree.BTreeG[T], encode func(T, []byte) []byte) (err error) {
	var buf []byte
	tree.Scan(func(item T) bool {
		buf = encode(item, buf[:0])
		_, err = w.Write(buf)
		return err == nil
	})
	return err
}

func (d deadline) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(d.at))
	return wire.AppendString(append(b, d.feature), d.key)
}

func (m remembered) append(b []byte) []byte {
	b = append(wire.AppendString(b, m.id), m.command[:]...)
	return binary.BigEndian.AppendUint64(wire.AppendBytes(b, m.reply), uint64(m.until))
}

func (o *origin) append(b []byte) []byte {
	b = wire.AppendString(binary.AppendUvarint(b, o.id), o.server)
	b = wire.AppendBool(binary.BigEndian.AppendUint64(b, o.nonce), o.isDurable)
	for i := range o.lanes {
		m := &o.lanes[i]
		b = binary.AppendUvarint(b, m.batch)
		b = binary.AppendUvarint(b, uint64(len(m.parts)))
		for _, replies := range m.parts {
			b = binary.AppendUvarint(b, uint64(len(replies)))
			for _, reply := range replies {
				b = AppendReply(b, reply)
			}
		}
	}
	return b
}

func parseOrigin(r *wire.Reader) *origin {
	o := &origin{id: r.Uvarint(), server: r.String(), nonce: r.Uint64(), isDurable: r.Bool()}
	for i := range o.lanes {
		m := &o.lanes[i]
		m.batch = r.Uvarint()
		m.parts = make([][]machine.Reply, r.Count(1))
		for p := range m.parts {
			m.parts[p] = make([]machine.Reply, r.Count(replyLeast))
			for k := range m.parts[p] {
				reply := ParseReply(r)
				reply.Data = bytes.Clone(reply.Data) // and let go of the snapshot
				m.parts[p][k] = reply
			}
		}
	}
	return o
}

// Restore implements raft.FSM: it replaces the state by that of a snapshot.
// On an error the state is as before.
func (r *Replica) Restore(source io.ReadCloser) error {
	s, err := readState(r.cfg, bufio.NewReaderSize(source, chunkSize))
	if err != nil {
		return fmt.Errorf("reading snapshot: %w", err)
	}
	r.mu.Lock()
	r.state = s
	r.publishLocked()
	r.mu.Unlock()
	r.subs.reset()
	r.tell()
	return nil
}

func readState(cfg Config, rd *bufio.Reader) (state, error) {
	s := newState(cfg)
	head := make([]byte, len(snapshotMagic)+1)
	if _, err := io.ReadFull(rd, head); err != nil {
		return s, err
	}
	if string(head[:4]) != snapshotMagic || head[4] != snapshotVersion {
		return s, fmt.Errorf("magic and version are %q: %w", head, wire.ErrMalformed)
	}
	for {
		id, err := rd.ReadByte()
		if err != nil {
			return s, err
		}
		if id == sectionEnd {
			return s, s.checkLevel(cfg)
		}
		section := &sectionReader{r: rd}
		if err := s.readSection(id, section); err != nil {
			return s, fmt.Errorf("section %d: %w", id, err)
		}
		if _, err := io.Copy(io.Discard, section); err != nil {
			return s, err
		}
	}
}

func (s *state) checkLevel(cfg Config) error {
	if s.stamp.Level > cfg.MaxLevel {
		return fmt.Errorf("the cluster is at level %d, this release knows %d: %w", s.stamp.Level, cfg.MaxLevel, machine.ErrUnknownCommand)
	}
	return nil
}

func (s *state) readSection(id uint8, section io.Reader) error {
	if id == shellID {
		b, err := io.ReadAll(section)
		if err != nil {
			return err
		}
		return s.readShell(wire.NewReader(b))
	}
	if id == stagingID {
		return s.readStaging(bufio.NewReader(section))
	}
	m := s.machines[id]
	if m == nil {
		return machine.ErrUnknownCommand
	}
	return m.Restore(section)
}

func (s *state) readShell(r *wire.Reader) error {
	s.stamp = machine.Stamp{Cluster: r.String(), Index: r.Uvarint()}
	s.stamp.Lease, s.stamp.Wall = time.Duration(r.Uint64()), time.Duration(r.Uint64())
	s.stamp.Level = uint32(r.Uvarint())
	copy(s.seed[:], r.Take(len(s.seed)))
	s.number = r.Uint64()
	for range r.Count(1) {
		s.members[r.String()] = true
	}
	for range r.Count(1) {
		o := parseOrigin(r)
		s.origins[o.id] = o
		s.byServer[o.server] = o.id
		s.own += originSize
		for i := range o.lanes {
			s.own += o.lanes[i].size()
		}
	}
	for range r.Count(1) {
		d := deadline{at: time.Duration(r.Uint64()), feature: r.Byte(), key: r.String()}
		s.deadlines.Load(d)
		s.own += deadlineSize + int64(len(d.key))
	}
	for range r.Count(1) {
		m := remembered{id: r.String()}
		copy(m.command[:], r.Take(len(m.command)))
		m.reply, m.until = bytes.Clone(r.Bytes()), time.Duration(r.Uint64())
		s.idem.Load(m)
		s.own += m.size()
	}
	return r.Done()
}

// Refound gives the state, which was alone left of its cluster, to a new one
// of which the server is the only member: all else stays.
func (r *Replica) Refound(cluster, server string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range maps.Clone(r.state.origins) {
		r.closeOrigin(id)
	}
	clear(r.state.members)
	r.state.members[server] = true
	r.state.stamp.Cluster = cluster
	r.publishLocked()
}
