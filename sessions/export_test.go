package sessions

// What tests outside the package see of its inside.

var MergePatch = func(target, patch []byte) ([]byte, error) {
	t, err := parse(target)
	if err != nil {
		return nil, err
	}
	p, err := parse(patch)
	if err != nil {
		return nil, err
	}
	merged := mergeValues(t, p)
	return merged.append(nil), nil
}

// Normal writes a document as a merge does.
var Normal = func(doc []byte) ([]byte, error) {
	v, err := parse(doc)
	return v.append(nil), err
}

// Recode decodes a command and encodes it again.
func Recode(data []byte) ([]byte, error) {
	c, err := decodeCommand(data)
	return c.encode(), err
}

// RecodeReply decodes a reply and encodes it again.
func RecodeReply(data []byte) ([]byte, error) {
	r, err := decodeReply(data)
	return r.encode(), err
}
