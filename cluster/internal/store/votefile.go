package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"slices"
)

// voteFile keeps term and vote in a file of two slots, which are written in
// turn and in place, each with one sync. Whatever happens to the slot that is
// being written, the other holds what was written last; of two good ones the
// one with the higher number counts. No write needs more room on the disk.
//
// A slot is 4096 bytes, all numbers big endian:
//
//	"HDV1"                     4 bytes
//	number of the write        8
//	length n of the values     4
//	values, by key             n   each: length of key 2, key, length of value 2, value
//	CRC-32C of all the above   4
//	zeros
type voteFile struct {
	file   slotFile
	number uint64 // of the last write that was synced
	values map[string]string
}

// slotFile is what a voteFile needs of a file.
type slotFile interface {
	io.WriterAt
	io.Closer
	Sync() error
}

// wholeFile is a file that keeps its size.
type wholeFile struct{ *os.File }

func (f wholeFile) Sync() error { return datasync(f.File) }

const (
	slotSize   = 4096
	slotMagic  = "HDV1"
	slotHeader = len(slotMagic) + 8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// createVoteFile makes a file that holds no values yet, at its full size.
func createVoteFile(path string) error {
	slot, err := appendSlot(nil, 1, nil)
	if err != nil {
		return err
	}
	// The other slot is written too, so that the disk has room for it.
	other, err := appendSlot(nil, 0, nil)
	if err != nil {
		return err
	}
	return writeSynced(path, append(other, slot...))
}

func openVoteFile(path string) (*voteFile, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading term and vote: %w", err)
	}
	v := &voteFile{}
	good := false
	for i := range 2 {
		number, values, err := parseSlot(content[min(i*slotSize, len(content)):min((i+1)*slotSize, len(content))])
		if err == nil && number%2 == uint64(i) && (!good || number > v.number) {
			good, v.number, v.values = true, number, values
		}
	}
	if !good {
		return nil, fmt.Errorf("%w: %s holds no term and vote", ErrDamaged, path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("opening term and vote: %w", err)
	}
	v.file = wholeFile{f}
	return v, nil
}

func (v *voteFile) read() map[string]string { return maps.Clone(v.values) }

// write writes the slot that does not hold what was written last. After a
// failure that is the same slot again, whole, as a failed sync may have lost
// any part of it.
func (v *voteFile) write(values map[string]string) error {
	slot, err := appendSlot(make([]byte, 0, slotSize), v.number+1, values)
	if err != nil {
		return err
	}
	if _, err := v.file.WriteAt(slot, int64((v.number+1)%2*slotSize)); err != nil {
		return err
	}
	if err := v.file.Sync(); err != nil {
		return err
	}
	v.number++
	v.values = values
	return nil
}

func (v *voteFile) close() error { return v.file.Close() }

func appendSlot(b []byte, number uint64, values map[string]string) ([]byte, error) {
	start := len(b)
	b = append(b, slotMagic...)
	b = binary.BigEndian.AppendUint64(b, number)
	b = binary.BigEndian.AppendUint32(b, 0)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		for _, s := range []string{key, values[key]} {
			if len(s) > slotSize {
				return nil, errors.New("the value is too long")
			}
			b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
			b = append(b, s...)
		}
	}
	n := len(b) - start
	if n+4 > slotSize {
		return nil, errors.New("the values are too long")
	}
	binary.BigEndian.PutUint32(b[start+len(slotMagic)+8:], uint32(n-slotHeader))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
	return append(b, make([]byte, slotSize-n-4)...), nil
}

var errSlot = errors.New("not a slot")

func parseSlot(b []byte) (number uint64, values map[string]string, err error) {
	if len(b) != slotSize || string(b[:len(slotMagic)]) != slotMagic {
		return 0, nil, errSlot
	}
	number = binary.BigEndian.Uint64(b[len(slotMagic):])
	n := int64(binary.BigEndian.Uint32(b[len(slotMagic)+8:])) + int64(slotHeader)
	if n+4 > slotSize || binary.BigEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli) {
		return 0, nil, errSlot
	}
	values = make(map[string]string)
	for b = b[slotHeader:n]; len(b) > 0; {
		var pair [2]string
		for i := range pair {
			if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
				return 0, nil, errSlot
			}
			n := int(binary.BigEndian.Uint16(b))
			pair[i], b = string(b[2:2+n]), b[2+n:]
		}
		values[pair[0]] = pair[1]
	}
	return number, values, nil
}
