package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tcplife/decode/capture"
	"tcplife/report"
)

// expand returns the files that the arguments mean: a directory all captures in
// and below it, found by what they hold; a pattern, where no file has that name,
// what matches it, for shells that leave it alone. note is told what of a
// directory was left out. An argument that means no file is an error; the others
// are returned all the same.
func expand(args []string, note func(string)) (files []string, errs []error) {
	for _, arg := range args {
		names := []string{arg}
		if _, err := os.Lstat(arg); err != nil && arg != "-" && strings.ContainsAny(arg, "*?[") {
			matches, err := filepath.Glob(arg)
			if err == nil { // else it is no pattern
				names = matches
			}
			if len(names) == 0 {
				errs = append(errs, fmt.Errorf("%s: no file matches", arg))
			}
		}
		for _, name := range names {
			if fi, err := os.Stat(name); name == "-" || err != nil || !fi.IsDir() {
				files = append(files, name) // if it cannot be opened, that is told later
				continue
			}
			found, err := capturesIn(name, note)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
			files = append(files, found...)
		}
	}
	return files, errs
}

// capturesIn returns the captures in and below dir, in the order of their names.
func capturesIn(dir string, note func(string)) (found []string, err error) {
	var others []string
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			note(fmt.Sprintf("%s: %v", path, cause(err)))
			return nil
		}
		if e.IsDir() {
			return nil
		}
		if fi, err := os.Stat(path); err != nil || !fi.Mode().IsRegular() { // behind symbolic links
			return nil
		} else if fi.Size() == 0 { // nor are those of /proc opened, some of which block
			others = append(others, filepath.Base(path))
			return nil
		}
		r, err := capture.Options{BufferSize: 4 << 10}.Open(path)
		switch {
		case err == nil:
			r.Close()
		case errors.Is(err, capture.ErrFormat):
			others = append(others, filepath.Base(path))
			return nil
		}
		found = append(found, path)
		return nil
	})
	switch {
	case err != nil:
		return found, err
	case len(found) == 0:
		return nil, errors.New("holds no capture")
	case len(others) > 0:
		note(fmt.Sprintf("%s: not captures, left out: %s", dir, listed(others)))
	}
	return found, nil
}

// cause takes the operation and the file's name off an error.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// listed names a few of many.
func listed(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

// once leaves out what is named twice: in one observation every packet of it
// would be a duplicate.
func once(files []string, note func(string)) []string {
	seen := make(map[string]bool, len(files))
	var kept []string
	for _, f := range files {
		key := f
		if abs, err := filepath.Abs(f); err == nil && f != "-" {
			key = abs
		}
		if seen[key] {
			note(f + ": named more than once, read once")
			continue
		}
		seen[key] = true
		kept = append(kept, f)
	}
	return kept
}

// waits reports whether reading the file may wait for what another program still
// writes: it is a pipe, a terminal, a device.
func waits(name string) bool {
	fi, err := os.Stdin.Stat()
	if name != "-" {
		fi, err = os.Stat(name)
	}
	return err == nil && !fi.Mode().IsRegular() && !fi.IsDir()
}

// followed returns an error unless the files are one that can be followed.
func followed(files []string) error {
	if len(files) != 1 {
		return fmt.Errorf("--follow follows one file, not %d", len(files))
	}
	if fi, err := os.Stat(files[0]); err == nil && fi.IsDir() {
		return fmt.Errorf("--follow: %s is a directory", report.Printable(files[0]))
	}
	return nil
}
