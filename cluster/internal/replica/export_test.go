package replica

import (
	"bytes"
	"io"
)

// IdemMost and SweepPerEntry are the bounds under test.
const (
	IdemMost      = idemMost
	SweepPerEntry = sweepPerEntry
	MaxReplies    = maxReplies
)

// Bytes returns the snapshot of a replica.
func (r *Replica) Bytes() []byte {
	v, err := r.freeze()
	if err != nil {
		panic(err)
	}
	var b bytes.Buffer
	if _, err := v.WriteTo(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Load restores a replica from bytes.
func (r *Replica) Load(b []byte) error {
	return r.Restore(io.NopCloser(bytes.NewReader(b)))
}
