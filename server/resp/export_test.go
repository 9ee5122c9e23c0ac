package resp

// Held returns how many bytes the Reader holds for its buffer.
func (r *Reader) Held() int { return len(r.buf) }
