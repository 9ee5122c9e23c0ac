package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
)

// keyLength is the length of a cluster key in bytes.
const keyLength = 32

type keygenCommand struct{}

// Run prints a key in the form that HUDDLE_KEY takes.
func (c *keygenCommand) Run(p process) error {
	_, err := fmt.Fprintln(p.stdout, base64.StdEncoding.EncodeToString(newKey()))
	return err
}

func newKey() []byte {
	key := make([]byte, keyLength)
	_, _ = rand.Read(key) // never fails: it ends the process where there is no randomness
	return key
}
