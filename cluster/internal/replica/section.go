package replica

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// writeSection writes what write writes, in chunks.
func writeSection(w *bufio.Writer, feature uint8, write func(io.Writer) error) error {
	w.WriteByte(feature)
	section := bufio.NewWriterSize(chunks{w}, chunkSize)
	if err := write(section); err != nil {
		return err
	}
	if err := section.Flush(); err != nil {
		return err
	}
	return w.WriteByte(0)
}

// chunks writes each piece that it is given with its length before it.
type chunks struct{ w *bufio.Writer }

func (c chunks) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.w.Write(binary.AppendUvarint(nil, uint64(len(p))))
	return c.w.Write(p)
}

// byteReader is what sections are read from.
type byteReader interface {
	io.Reader
	io.ByteReader
}

// sectionReader reads the chunks of one section and ends with it.
type sectionReader struct {
	r    byteReader
	left uint64 // of the chunk
	done bool
}

func (s *sectionReader) Read(p []byte) (int, error) {
	if s.left == 0 && !s.done {
		n, err := binary.ReadUvarint(s.r)
		if err != nil {
			return 0, fmt.Errorf("reading chunk: %w", unexpected(err))
		}
		s.left, s.done = n, n == 0
	}
	if s.done {
		return 0, io.EOF
	}
	n, err := s.r.Read(p[:min(uint64(len(p)), s.left)])
	s.left -= uint64(n)
	return n, unexpected(err)
}

// unexpected is the error of a file that ends in the middle.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
