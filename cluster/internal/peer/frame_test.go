package peer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"
	"time"
)

// encode returns f as it is sent.
func encode(f frame) []byte { return append(f.appendHeader(nil), f.body...) }

func TestFrameLayout(t *testing.T) {
	for _, c := range []struct {
		name string
		f    frame
		want string
	}{
		{"alive", frame{typ: frameAlive}, "\x00\x00\x00\x01\x00"},
		{
			"request",
			frame{typ: frameRequest, id: 0x0102, code: 7, wait: 300 * time.Microsecond, body: []byte("hi")},
			"\x00\x00\x00\x0e\x01\x00\x00\x00\x00\x00\x00\x01\x02\x07\xac\x02hi",
		},
		{
			"request without end",
			frame{typ: frameRequest, id: 1, code: 7},
			"\x00\x00\x00\x0b\x01\x00\x00\x00\x00\x00\x00\x00\x01\x07\x00",
		},
		{
			"reply",
			frame{typ: frameReply, id: 1, code: statusError, body: []byte("no")},
			"\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x00\x00\x00\x01\x01no",
		},
		{"goodbye", frame{typ: frameGoodbye, body: []byte("bye")}, "\x00\x00\x00\x04\x03bye"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(encode(c.f)); got != c.want {
				t.Errorf("encoded %q, want %q", got, c.want)
			}
			got, err := readFrame(bufio.NewReader(bytes.NewReader([]byte(c.want))), 10)
			if err != nil {
				t.Fatal(err)
			}
			if got.typ != c.f.typ || got.id != c.f.id || got.code != c.f.code || got.wait != c.f.wait || !bytes.Equal(got.body, c.f.body) {
				t.Errorf("decoded %+v, want %+v", got, c.f)
			}
		})
	}
}

func TestFrameWaitIsRoundedUp(t *testing.T) {
	for _, c := range []struct{ wait, want time.Duration }{
		{0, 0},
		{1, time.Microsecond},
		{time.Microsecond, time.Microsecond},
		{time.Second + 1, time.Second + time.Microsecond},
		{math.MaxInt64, math.MaxInt64 / 1000 * 1000},
	} {
		f, err := parseFrame(encode(frame{typ: frameRequest, wait: c.wait})[4:])
		if err != nil {
			t.Fatalf("wait %d: %v", c.wait, err)
		}
		if f.wait != c.want {
			t.Errorf("wait %d became %d, want %d", c.wait, f.wait, c.want)
		}
	}
}

func TestBadFrames(t *testing.T) {
	request := "\x01\x00\x00\x00\x00\x00\x00\x00\x01\x07"
	for _, c := range []struct {
		name, bytes string
		want        error
	}{
		{"empty", "", errShortFrame},
		{"unknown type", "\x04", errUnknownFrame},
		{"request cut in its id", request[:5], errShortFrame},
		{"request without a kind", request[:9], errShortFrame},
		{"request without a wait", request, errShortFrame},
		{"request cut in its wait", request + "\x80", errShortFrame},
		{"wait over 64 bits", request + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", errWait},
		{"wait over a duration", request + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", errWait},
		{"reply without a status", "\x02\x00\x00\x00\x00\x00\x00\x00\x01", errShortFrame},
	} {
		t.Run(c.name, func(t *testing.T) {
			framed := binary.BigEndian.AppendUint32(nil, uint32(len(c.bytes)))
			_, err := readFrame(bufio.NewReader(bytes.NewReader(append(framed, c.bytes...))), 10)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if err != nil && !isViolation(err) {
				t.Errorf("%v is not taken for a violation", err)
			}
		})
	}
}

func TestFrameOverItsLimitIsNotRead(t *testing.T) {
	const limit = 1000
	largest := frame{typ: frameRequest, wait: math.MaxInt64, body: make([]byte, limit)}
	if _, err := readFrame(bufio.NewReader(bytes.NewReader(encode(largest))), limit); err != nil {
		t.Errorf("largest frame: %v", err)
	}
	for _, size := range []uint32{limit + maxHeader + 1, math.MaxUint32} {
		r := bufio.NewReader(bytes.NewReader(binary.BigEndian.AppendUint32(nil, size)))
		_, err := readFrame(r, limit)
		var tooLong *sizeError
		if !errors.As(err, &tooLong) {
			t.Errorf("size %d: got %v, want a sizeError", size, err)
		}
	}
}

func TestReadBytes(t *testing.T) {
	data := make([]byte, 5<<20+3)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	for _, size := range []int{0, 1, 1 << 20, 1<<20 + 1, len(data)} {
		got, err := readBytes(bytes.NewReader(data[:size]), size)
		if err != nil || !bytes.Equal(got, data[:size]) {
			t.Errorf("%d bytes: got %d bytes, error %v", size, len(got), err)
		}
	}
	if _, err := readBytes(bytes.NewReader(data), len(data)+1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut short: got %v, want io.ErrUnexpectedEOF", err)
	}
	// A length of which little arrives takes little memory.
	var room int
	_, err := readBytes(readerFunc(func(b []byte) (int, error) {
		room = max(room, len(b))
		return 0, io.EOF
	}), 1<<30)
	if err == nil || room > 1<<20 {
		t.Errorf("a length of 1 GiB alone took %d bytes, error %v", room, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func FuzzFrame(f *testing.F) {
	for _, seed := range []frame{
		{typ: frameAlive},
		{typ: frameRequest, id: 1, code: 2, wait: time.Second, body: []byte("body")},
		{typ: frameReply, id: math.MaxUint64, code: statusBusy},
		{typ: frameGoodbye, body: []byte("bye")},
	} {
		f.Add(encode(seed))
	}
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 1 << 10
		r := bufio.NewReader(bytes.NewReader(stream))
		for {
			got, err := readFrame(r, limit)
			if err != nil {
				return
			}
			if len(got.body) > limit+maxHeader {
				t.Fatalf("a body of %d bytes was let through", len(got.body))
			}
			again, err := parseFrame(encode(got)[4:])
			if err != nil {
				t.Fatalf("%+v encodes to what cannot be read: %v", got, err)
			}
			if again.typ != got.typ || again.id != got.id || again.code != got.code || again.wait != got.wait || !bytes.Equal(again.body, got.body) {
				t.Fatalf("%+v came back as %+v", got, again)
			}
		}
	})
}
