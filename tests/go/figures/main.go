// Command figures prints what Go's own analyses make of traces, as plain lines that the tests can
// make of ours. It builds only inside the Go tree, by overlay: see ../build.
//
//	figures lines ANALYSIS FILE   the lines of one analysis; besides those that have hashes, of
//	                              "mud FLAGS": for some windows in nanoseconds the MMU, and the quantiles
//	                              0, 0.001, 0.01, 0.05, 0.3, 0.6 and 0.9 of the MUD
//	figures hashes FILE...        for each file and analysis: file, analysis, number of lines, and the
//	                              beginning of the SHA-256 of the lines
//
// Statistics are those of internal/trace. What cmd/trace makes of them is private to it and said here
// again: which regions and tasks go together, the histogram, and what a profile counts.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"internal/trace"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

var analyses = []string{
	"goroutines", "groups", "region", "regions", "task", "tasks",
	"net", "sync", "syscall", "sched",
	"util stw|background", "util stw|background|assist|sweep", "util stw|background|perProc",
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	switch args := os.Args[1:]; {
	case len(args) == 3 && args[0] == "lines":
		for _, line := range read(args[2]).lines(args[1]) {
			fmt.Fprintln(out, line)
		}
	case len(args) > 1 && args[0] == "hashes":
		for _, file := range args[1:] {
			name := strings.TrimSuffix(filepath.Base(file), ".trace")
			all := read(file)
			for _, analysis := range analyses {
				lines := all.lines(analysis)
				sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
				fmt.Fprintf(out, "%s\t%s\t%d\t%x\n", name, analysis, len(lines), sum[:8])
			}
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: figures lines ANALYSIS FILE | figures hashes FILE...")
		os.Exit(2)
	}
}

// trace as a whole: all statistics, and the events up to the end of the last whole generation.
type whole struct {
	*trace.Summary
	events     []trace.Event
	start, end trace.Time
}

func read(file string) *whole {
	data, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	all, summarizer := new(whole), trace.NewSummarizer()
	sound := 0
	if reader, err := trace.NewReader(bytes.NewReader(data)); err == nil {
		for {
			event, err := reader.ReadEvent()
			if err != nil {
				if errors.Is(err, io.EOF) {
					sound = len(all.events)
				}
				break
			}
			all.events = append(all.events, event)
			summarizer.Event(&all.events[len(all.events)-1])
			if event.Kind() == trace.EventSync {
				sound = len(all.events)
			}
		}
	}
	all.Summary = summarizer.Finalize()
	all.events = all.events[:sound]
	if sound > 0 {
		all.start, all.end = all.events[0].Time(), all.events[sound-1].Time()
	}
	return all
}

func (all *whole) lines(analysis string) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if flags, ok := strings.CutPrefix(analysis, "util "); ok {
		for series, points := range all.utilization(flags) {
			for _, point := range points {
				add("%d %d %016x", series, point.Time, math.Float64bits(point.Util))
			}
		}
		return lines
	}
	if flags, ok := strings.CutPrefix(analysis, "mud "); ok {
		series := all.utilization(flags)
		if len(series) == 0 {
			return nil
		}
		curve := trace.NewMMUCurve(series)
		for _, window := range []time.Duration{10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 10 * time.Millisecond} {
			line := fmt.Sprintf("%d %v", window, curve.MMU(window))
			for _, part := range curve.MUD(window, []float64{0, 1 - .999, 1 - .99, 1 - .95, 0.3, 0.6, 0.9}) {
				line += fmt.Sprintf(" %v", part)
			}
			lines = append(lines, line)
		}
		return lines
	}
	switch analysis {
	case "goroutines":
		for _, id := range slices.Sorted(maps.Keys(all.Goroutines)) {
			g := all.Goroutines[id]
			add("%d %s %d %d %d %d %s", id, quote(g.Name), g.CreationTime, g.StartTime, g.EndTime, len(g.Regions), times(timesOf(g.GoroutineExecStats)))
		}
	case "groups":
		counts, sums := map[string]int{}, map[string]map[string]int64{}
		for _, g := range all.Goroutines {
			if counts[g.Name]++; sums[g.Name] == nil {
				sums[g.Name] = map[string]int64{}
			}
			for key, value := range timesOf(g.GoroutineExecStats) {
				sums[g.Name][key] += value
			}
		}
		for _, name := range slices.Sorted(maps.Keys(sums)) {
			add("%s %d %s", quote(name), counts[name], times(sums[name]))
		}
	case "region":
		for id, g := range all.Goroutines {
			for _, r := range g.Regions {
				add("%d %d %s %s %s %d %s", id, r.TaskID, quote(r.Name), at(r.Start), at(r.End), all.between(r.Start, r.End), times(timesOf(r.GoroutineExecStats)))
			}
		}
	case "regions":
		durations := map[string][]int64{}
		for _, g := range all.Goroutines {
			for _, r := range g.Regions {
				key := quote(r.Name) + " " + outermost(r.Start)
				durations[key] = append(durations[key], all.between(r.Start, r.End))
			}
		}
		for _, key := range slices.Sorted(maps.Keys(durations)) {
			add("%s %d %s", key, len(durations[key]), histogram(durations[key]))
		}
	case "task":
		for _, id := range slices.Sorted(maps.Keys(all.Tasks)) {
			t, parent := all.Tasks[id], "-"
			if t.Parent != nil {
				parent = fmt.Sprint(t.Parent.ID)
			}
			add("%d %s %s %s %s %d %d %d %d %v", id, quote(t.Name), parent, at(t.Start), at(t.End), all.between(t.Start, t.End),
				len(t.Children), len(t.Logs), len(t.Regions), slices.Sorted(maps.Keys(t.Goroutines)))
		}
	case "tasks":
		counts, durations := map[string]int{}, map[string][]int64{}
		for _, t := range all.Tasks {
			counts[t.Name]++
			if t.Complete() {
				durations[t.Name] = append(durations[t.Name], all.between(t.Start, t.End))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			add("%s %d %s", quote(name), counts[name], histogram(durations[name]))
		}
	default:
		lines = all.profile(analysis)
	}
	slices.Sort(lines)
	return lines
}

// quote makes a name one word, in which what is not UTF-8 is replaced, as in JSON.
func quote(name string) string { return strconv.Quote(string([]rune(name))) }

func timesOf(s trace.GoroutineExecStats) map[string]int64 {
	m := map[string]int64{"exec": int64(s.ExecTime), "sched": int64(s.SchedWaitTime), "syscall": int64(s.SyscallTime),
		"sysblock": int64(s.SyscallBlockTime), "unknown": int64(s.UnknownTime()), "total": int64(s.TotalTime)}
	for reason, d := range s.BlockTimeByReason {
		m["block "+reason] = int64(d)
	}
	for name, d := range s.RangeTime {
		m["range "+name] = int64(d)
	}
	return m
}

func times(m map[string]int64) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if m[key] != 0 {
			parts = append(parts, fmt.Sprintf("%s=%d", key, m[key]))
		}
	}
	return strings.Join(parts, ",")
}

func at(event *trace.Event) string {
	if event == nil {
		return "-"
	}
	return strconv.FormatInt(int64(event.Time()), 10)
}

func (all *whole) between(start, end *trace.Event) int64 {
	a, b := all.start, all.end
	if start != nil {
		a = start.Time()
	}
	if end != nil {
		b = end.Time()
	}
	return int64(b - a)
}

func outermost(event *trace.Event) string {
	var last trace.StackFrame
	if event != nil {
		for frame := range event.Stack().Frames() {
			last = frame
		}
	}
	return fmt.Sprintf("%s@%#x:%d", quote(last.Func), last.PC, last.Line)
}

func histogram(durations []int64) string {
	fifth := math.Log(math.Pow(10, 1.0/5))
	counts := map[int]int{}
	for _, d := range durations {
		bucket := 0
		if d > 0 {
			bucket = int(math.Log(float64(d)) / fifth)
		}
		counts[bucket]++
	}
	var parts []string
	for _, bucket := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d:%d:%d", bucket, int64(math.Exp(float64(bucket)*fifth)), counts[bucket]))
	}
	return strings.Join(parts, ",")
}

func (all *whole) utilization(names string) [][]trace.MutatorUtil {
	known := map[string]trace.UtilFlags{"stw": trace.UtilSTW, "background": trace.UtilBackground,
		"assist": trace.UtilAssist, "sweep": trace.UtilSweep, "perProc": trace.UtilPerProc}
	var flags trace.UtilFlags
	for name := range strings.SplitSeq(names, "|") {
		flags |= known[name]
	}
	return trace.MutatorUtilizationV2(all.events, flags)
}

// profile: a stay counts from the event that puts a goroutine into the state to the event that takes
// it out, as far as both lie within the time from the goroutine's first running to its end.
func (all *whole) profile(kind string) (lines []string) {
	state := map[string]trace.GoState{"net": trace.GoWaiting, "sync": trace.GoWaiting, "syscall": trace.GoSyscall, "sched": trace.GoRunnable}[kind]
	fits := func(reason string) bool {
		has := func(part string) bool { return strings.Contains(reason, part) }
		return kind == "syscall" || kind == "sched" || kind == "net" && reason == "network" ||
			kind == "sync" && (has("chan") || has("sync") || has("select"))
	}
	type sample struct {
		last        string
		count, time int64
	}
	samples, since := map[[128]uint64]*sample{}, map[trace.GoID]*trace.Event{}
	for i := range all.events {
		event := &all.events[i]
		if event.Kind() != trace.EventStateTransition || event.StateTransition().Resource.Kind != trace.ResourceGoroutine {
			continue
		}
		transition := event.StateTransition()
		id := transition.Resource.Goroutine()
		_, to := transition.Goroutine()
		start := since[id]
		switch {
		case start == nil && to == state && fits(transition.Reason):
			since[id] = event
		case start != nil && to != state:
			delete(since, id)
			g := all.Goroutines[id]
			end := cmp.Or(g.EndTime, all.end)
			length := min(event.Time(), end) - max(start.Time(), g.StartTime)
			if length <= 0 {
				continue
			}
			var pcs [128]uint64
			n, text := 0, ""
			for frame := range start.Stack().Frames() {
				if n < len(pcs) {
					pcs[n] = frame.PC
					text += fmt.Sprintf("%s@%#x:%d ", quote(frame.Func), frame.PC, frame.Line)
				}
				n++
			}
			if samples[pcs] == nil {
				samples[pcs] = new(sample)
			}
			s := samples[pcs]
			s.last, s.count, s.time = text, s.count+1, s.time+int64(length)
		}
	}
	for _, s := range samples {
		lines = append(lines, fmt.Sprintf("%s%d %d", s.last, s.count, s.time))
	}
	return lines
}
