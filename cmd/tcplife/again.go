package main

import (
	"errors"
	"fmt"
	"os"

	"tcplife/decode/capture"
)

// rereadable returns an error if one of the files cannot be read a second time.
func rereadable(files []string) error {
	for _, f := range files {
		if f == "-" {
			return errors.New("standard input cannot be read a second time: save it in a file first")
		}
		if fi, err := os.Stat(f); err == nil && !fi.Mode().IsRegular() {
			return fmt.Errorf("%s: is no regular file, which could be read a second time", f)
		}
	}
	return nil
}

// again reads the files a second time, in the order in which they were analysed, and
// calls each with the packets that were looked at. What is wrong with the files was
// told the first time.
func (a *analysis) again(files []string, each func(*capture.Packet) error) error {
	read := func(files []string, first int) error {
		m := capture.NewMerge(files, first, capture.Options{}, func(int, capture.Info, error) {})
		defer m.Close()
		var p capture.Packet
		for begun := false; m.Next(&p) == nil; begun = true {
			if !begun {
				a.filter.begin(p.Time)
			}
			if ok, _ := a.filter.wants(&p); !ok {
				continue
			}
			if err := each(&p); err != nil {
				return err
			}
		}
		return nil
	}
	if !a.separate {
		return read(files, 0)
	}
	for i := range files {
		if err := read(files[i:i+1], i); err != nil {
			return err
		}
	}
	return nil
}
