package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
)

// maxBody bounds the body of a JSON call.
const maxBody = 64 << 10

// none is the body of a call that has none.
type none struct{}

// handle makes a handler of a function from one JSON value to another. It
// decodes, calls, and encodes what comes back or the problem that it is; what
// the function does is all that differs between calls.
func handle[In, Out any](call func(r *http.Request, in In) (Out, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in In
		if _, isNone := any(in).(none); !isNone {
			if err := decode(w, r, &in); err != nil {
				writeProblem(w, err)
				return
			}
		}
		out, err := call(r, in)
		if err != nil {
			writeProblem(w, err)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		if _, isNone := any(out).(none); isNone {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		writeJSON(w, out)
	})
}

// decode reads the one JSON value of a body. An empty body is the zero value.
func decode(w http.ResponseWriter, r *http.Request, in any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, found := errors.AsType[*http.MaxBytesError](err); found {
			return err
		}
		return fmt.Errorf("%w: reading the body: %w", errMalformed, err)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return errMediaType
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(in); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more than one JSON value", errMalformed)
	}
	return nil
}

func writeJSON(w http.ResponseWriter, out any) {
	body, err := json.Marshal(out)
	if err != nil {
		writeProblem(w, fmt.Errorf("encoding the answer: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // the client has gone where this fails
}
