package main

import (
	"errors"
	"fmt"
	"os"
)

// An output is the file for the report. What was in it before is kept until the
// report begins, and so is that it was not there. A report may be empty: begin says
// that there is one.
type output struct {
	*os.File
	created bool // by us
	begun   bool
}

// createOutput creates the file for the report, unless it is one of the inputs.
func createOutput(name string, inputs []string) (*output, error) {
	before, err := os.Stat(name)
	there := err == nil
	if there {
		for _, in := range inputs {
			if fi, err := os.Stat(in); err == nil && os.SameFile(fi, before) && fi.Mode().IsRegular() {
				return nil, fmt.Errorf("--output %s: is one of the inputs", name)
			}
		}
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("--output: %w", err)
	}
	return &output{File: file, created: !there}, nil
}

func (o *output) Write(b []byte) (int, error) {
	if err := o.begin(); err != nil {
		return 0, err
	}
	return o.File.Write(b)
}

// begin removes what was in the file before, the first time.
func (o *output) begin() error {
	if o == nil || o.begun {
		return nil
	}
	o.begun = true
	if fi, err := o.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil
	}
	return o.Truncate(0)
}

// Close closes the file, and removes it if there was neither file nor report.
func (o *output) Close() error {
	err := o.File.Close()
	if o.created && !o.begun {
		err = errors.Join(err, os.Remove(o.Name()))
	}
	return err
}
