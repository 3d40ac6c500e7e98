// annotate prints what annotations cost in Go, in nanoseconds a call: the least of many batches, with
// the tracer off and on. A line a measurement: its name, a space, the number.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/trace"
	"time"
)

const (
	batches = 200
	calls   = 4000
)

func measure(name string, call func()) {
	least := time.Hour
	for range batches {
		start := time.Now()
		for range calls {
			call()
		}
		least = min(least, time.Since(start))
	}
	fmt.Printf("%s %.2f\n", name, float64(least.Nanoseconds())/calls)
}

func all(state string) {
	ctx := context.Background()
	measure("log-"+state, func() { trace.Log(ctx, "category", "a message of some 24 bytes") })
	number := 0
	measure("logf-"+state, func() { number++; trace.Logf(ctx, "category", "number %d", number) })
	measure("region-"+state, func() { trace.StartRegion(ctx, "region").End() })
	measure("task-"+state, func() { _, task := trace.NewTask(ctx, "task"); task.End() })
}

func main() {
	all("off")
	if err := trace.Start(io.Discard); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	all("on")
	trace.Stop()
}
