//go:build race

package s3fifo_test

const raceDetector = true
