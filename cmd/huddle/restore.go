package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/huddlecache/huddle/cluster"
)

type restoreCommand struct {
	clientFlags
	File string `arg:"" help:"File that huddle backup wrote; - is standard input."`
}

// Run replaces the replicated state by that of a backup.
func (c *restoreCommand) Run(ctx context.Context, p process) error {
	from, size, err := c.open(p)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // only read
	body := &tracked{from: from, show: newProgress(p, "restore", size)}
	answer, base, err := c.transfer(ctx, p, http.MethodPut, body, size)
	if err == nil {
		defer func() { _ = answer.Body.Close() }() // only read
	}
	sent, broken := body.end()
	switch {
	case broken != nil:
		return fmt.Errorf("reading %s: %w", c.File, broken)
	case err != nil && sent > 0:
		return fmt.Errorf("%w; whether the backup was restored is not known: restoring it once more does no harm", err)
	case err != nil:
		return err
	}
	var done cluster.Restored
	if err := decodeAnswer(base, answer, &done); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "restored the backup of cluster %s at index %d, %s; it took effect at index %d of cluster %s\n",
		done.Backup.Cluster, done.Backup.Index, done.Backup.Time.Format(time.RFC3339), done.Index, done.Cluster)
	return err
}

// open returns the backup and its size, -1 if that is not known.
func (c *restoreCommand) open(p process) (io.ReadCloser, int64, error) {
	if c.File == "-" {
		return io.NopCloser(p.stdin), -1, nil
	}
	file, err := os.Open(c.File)
	if err != nil {
		return nil, 0, fmt.Errorf("opening the backup: %w", err)
	}
	info, err := file.Stat()
	switch {
	case err != nil:
		_ = file.Close() // only read
		return nil, 0, fmt.Errorf("opening the backup: %w", err)
	case info.IsDir():
		_ = file.Close() // only read
		return nil, 0, usagef("%q is a directory: give the file that huddle backup wrote", c.File)
	case !info.Mode().IsRegular():
		return file, -1, nil
	}
	return file, info.Size(), nil
}
