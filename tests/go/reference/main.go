// Command reference is Go's own trace reader as a peer to compare with. It builds only inside the
// Go tree, by overlay: see ../build.
//
// FILE may be "-", the standard input. Wall clocks are printed in UTC. Error messages stand on one
// line: their first, for the rest is a dump of the reader's state in random order.
//
//	reference check FILE         "EVENTS ok" or "EVENTS error: MESSAGE"
//	reference parsed FILE        as go tool trace -d=parsed
//	reference wire FILE          as go tool trace -d=wire, experimental events included
//	reference assemble FILE OUT  text form, with its "Trace Go1.NN" line, to a trace
//	reference serve              a line as of check for each frame on standard input
//	reference events             for each frame, all events as of parsed, then "end: ok" or
//	                             "end: error: MESSAGE"
//	reference expected FILE...   a row of expected.tsv for each trace
//	reference time FILE [RUNS]   a line for each run: events, time an event, speed, memory
//
// A frame is a length (32 bits, little-endian) and as many bytes of a trace. The reply is flushed
// before the next frame is read.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"internal/trace"
	"internal/trace/raw"
	"internal/trace/version"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// The first version of today's format, the first with experimental events, and the one whose table
// holds every event.
const (
	firstText         = version.Go122
	firstExperimental = version.Go123
	complete          = version.Current
)

func main() {
	time.Local = time.UTC
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	err := run(out, os.Args[1:])
	out.Flush()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(out *bufio.Writer, args []string) error {
	command, file := "", ""
	if len(args) > 0 {
		command = args[0]
	}
	if len(args) > 1 {
		file = args[1]
	}
	switch command {
	case "serve":
		return frames(os.Stdin, out, func(data []byte) {
			fmt.Fprintln(out, verdict(read(data, nil)))
		})
	case "events":
		return frames(os.Stdin, out, func(data []byte) {
			_, err := read(data, out)
			fmt.Fprintln(out, "end:", outcome(err))
		})
	case "expected":
		return expected(out, args[1:])
	}
	data, err := input(file)
	if err != nil {
		return err
	}
	switch command {
	case "check":
		fmt.Fprintln(out, verdict(read(data, nil)))
		return nil
	case "parsed":
		_, err := read(data, out)
		return err
	case "wire":
		return wire(out, data)
	case "assemble":
		if len(args) != 3 {
			return fmt.Errorf("usage: reference assemble FILE OUT")
		}
		return assemble(data, args[2])
	case "time":
		runs := 1
		if len(args) > 2 {
			if runs, err = strconv.Atoi(args[2]); err != nil {
				return err
			}
		}
		return measure(out, data, runs)
	}
	return fmt.Errorf("unknown command %q: see the top of main.go", command)
}

func input(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(name)
}

func verdict(n int, err error) string { return fmt.Sprintf("%d %s", n, outcome(err)) }

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	first, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	return "error: " + strings.TrimSpace(strings.ReplaceAll(first, "\r", " "))
}

// read counts the events of a trace, printing them to w if there is one. Go's reader panics on some
// broken traces; here that is one more error.
func read(data []byte, w io.Writer) (n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	r, err := trace.NewReader(bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	for {
		ev, err := r.ReadEvent()
		if err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
		n++
		if w != nil {
			fmt.Fprintln(w, ev.String())
		}
	}
}

func frames(in io.Reader, out *bufio.Writer, each func([]byte)) error {
	r := bufio.NewReaderSize(in, 1<<16)
	for {
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		data := make([]byte, binary.LittleEndian.Uint32(size[:]))
		if _, err := io.ReadFull(r, data); err != nil {
			return err
		}
		each(data)
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

// The event tables of the versions are prefixes of one table, and each ends before the experimental
// events: Go's raw reader stops there in a trace older than the newest version. To it, a trace
// that may hold them is presented as of the newest version; in the text form nothing else changes.
func widened(v version.Version) (version.Version, error) {
	if v < firstText {
		return 0, fmt.Errorf("go 1.%d trace: there is a text form since go 1.%d", v, firstText)
	}
	if v < firstExperimental {
		return v, nil
	}
	return complete, nil
}

func wire(w io.Writer, data []byte) error {
	body := bytes.NewReader(data)
	v, err := version.ReadHeader(body)
	if err != nil {
		return err
	}
	as, err := widened(v)
	if err != nil {
		return err
	}
	var header bytes.Buffer
	version.WriteHeader(&header, as)
	r, err := raw.NewReader(io.MultiReader(&header, body))
	if err != nil {
		return err
	}
	specs := as.Specs()
	for {
		ev, err := r.ReadEvent()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		// The numbers between the regular and the experimental events have no name. Go's tool
		// prints an empty line for them, from which no trace can be made again.
		if specs[ev.Ev].Name == "" {
			return fmt.Errorf("invalid event type: %d", ev.Ev)
		}
		fmt.Fprintln(w, ev.String())
	}
}

var headerLine = regexp.MustCompile(`^Trace Go1\.(\d+)`)

func assemble(text []byte, name string) error {
	m := headerLine.FindSubmatch(text)
	if m == nil {
		return fmt.Errorf("the first line is not \"Trace Go1.NN\"")
	}
	number, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return err
	}
	v := version.Version(number)
	as, err := widened(v)
	if err != nil {
		return err
	}
	text, trailers := readable(text[len(m[0]):], as)
	r, err := raw.NewTextReader(io.MultiReader(strings.NewReader(fmt.Sprintf("Trace Go1.%d\n", as)), bytes.NewReader(text)))
	if err != nil {
		return err
	}
	var header, body bytes.Buffer
	w, err := raw.NewWriter(&body, as)
	if err != nil {
		return err
	}
	body.Reset() // drop the header of the version presented
	for {
		ev, err := r.ReadEvent()
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if long, ok := trailers[string(ev.Data)]; ok {
			ev.Data = long
		}
		if err := w.WriteEvent(ev); err != nil {
			return err
		}
	}
	version.WriteHeader(&header, v)
	all := append(header.Bytes(), body.Bytes()...)
	if name == "-" {
		_, err := os.Stdout.Write(all)
		return err
	}
	return os.WriteFile(name, all, 0o666)
}

// readable makes up for two lines that Go's text writer writes and its reader refuses: data of 64 KiB
// and more, quoted, as a full experimental batch has, and empty data, which the writer leaves out.
// Long data gets a short stand-in, to be looked up in the second result.
func readable(text []byte, v version.Version) ([]byte, map[string][]byte) {
	hasData := make(map[string]bool)
	for _, spec := range v.Specs() {
		if spec.HasData {
			hasData[spec.Name] = true
		}
	}
	var better bytes.Buffer
	trailers := make(map[string][]byte)
	waiting := false
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		_, quoted, _ := strings.Cut(strings.TrimSpace(line), "data=")
		isData := strings.HasPrefix(words[0], "data=")
		if waiting && !isData {
			better.WriteString("\tdata=\"\"\n")
		}
		waiting = hasData[words[0]]
		if isData && len(line) > 60<<10 {
			if data, err := strconv.Unquote(quoted); err == nil {
				key := fmt.Sprintf("\x00long trailer %d", len(trailers))
				trailers[key] = []byte(data)
				line = fmt.Sprintf("\tdata=%q\n", key)
			}
		}
		better.WriteString(line)
	}
	if waiting {
		better.WriteString("\tdata=\"\"\n")
	}
	return better.Bytes(), trailers
}

func expected(out io.Writer, files []string) error {
	fmt.Fprintln(out, "# file\tversion\tbytes\twire sha256\twire lines\tparsed sha256\tevents\tverdict")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		v, err := version.ReadHeader(bytes.NewReader(data))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		wireSum, wireLines := "-", "-"
		if v >= firstText {
			var text bytes.Buffer
			if err := wire(&text, data); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			wireSum, wireLines = sum(text.Bytes()), strconv.Itoa(bytes.Count(text.Bytes(), []byte("\n")))
		}
		var text bytes.Buffer
		n, err := read(data, &text)
		parsedSum := "-"
		if n > 0 {
			parsedSum = sum(text.Bytes())
		}
		fmt.Fprintf(out, "%s\t1.%d\t%d\t%s\t%s\t%s\t%d\t%s\n", filepath.Base(file), v, len(data), wireSum, wireLines, parsedSum, n, outcome(err))
	}
	return nil
}

func sum(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

func measure(out io.Writer, data []byte, runs int) error {
	for range runs {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		n, err := read(data, nil)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "events=%d ns/event=%.2f MB/s=%.1f allocated_MB=%.1f\n", n,
			float64(took.Nanoseconds())/float64(max(n, 1)), float64(len(data))/1e6/took.Seconds(),
			float64(after.TotalAlloc-before.TotalAlloc)/1e6)
	}
	return nil
}
