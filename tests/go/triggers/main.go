// Triggers writes its trace to the standard output, and does once what a trigger waits for:
//
//	triggers NAME
//
// The names are the cases below; "quiet" does nothing. For those that keep a processor, run it with
// GODEBUG=asyncpreemptoff=1.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/trace"
	"sync"
	"syscall"
	"time"
)

const pause = 150 * time.Millisecond

// spin keeps a processor for about so long, without a place where it can be preempted.
func spin(d time.Duration) int {
	x, step := 1, 1<<22
	start := time.Now()
	for i := 0; i < step; i++ {
		x = x*31 + i
	}
	rounds := int(float64(step) * float64(d) / float64(time.Since(start)+1))
	for i := 0; i < rounds; i++ {
		x = x*31 + i
	}
	return x
}

type node struct {
	left, right *node
}

func tree(depth int) *node {
	if depth == 0 {
		return nil
	}
	return &node{tree(depth - 1), tree(depth - 1)}
}

var kept any

func do(name string) {
	ctx := context.Background()
	switch name {
	case "quiet":
	case "task":
		_, task := trace.NewTask(ctx, "slow")
		time.Sleep(pause)
		task.End()
	case "region":
		trace.WithRegion(ctx, "slow", func() { time.Sleep(pause) })
	case "log":
		trace.Log(ctx, "alarm", "the disk is full")
	case "blocked":
		c := make(chan int)
		go func() {
			time.Sleep(pause)
			c <- 1
		}()
		<-c
	case "runnable":
		before := runtime.GOMAXPROCS(1)
		var wg sync.WaitGroup
		for i := 0; i < 4; i++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				kept = spin(pause / 2)
			}()
		}
		wg.Wait()
		runtime.GOMAXPROCS(before)
	case "running":
		kept = spin(pause)
	case "syscall":
		for left := syscall.NsecToTimespec(int64(pause)); syscall.Nanosleep(&left, &left) == syscall.EINTR; {
		}
	case "gc":
		kept = tree(21)
		runtime.GC()
	case "stw":
		done := make(chan int)
		go func() { done <- spin(pause) }()
		time.Sleep(pause / 5)
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		<-done
	case "goroutines":
		c := make(chan int)
		for i := 0; i < 600; i++ {
			go func() { <-c }()
		}
		time.Sleep(pause)
		close(c)
	case "heap":
		var blocks [][]byte
		for i := 0; i < 100; i++ {
			blocks = append(blocks, make([]byte, 1<<20))
		}
		kept = blocks
		runtime.GC()
	default:
		panic("no such name: " + name)
	}
}

// noise is what a program does all the time, and no trigger waits for.
func noise(stop <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	for {
		select {
		case <-stop:
			return
		default:
		}
		ctx, task := trace.NewTask(context.Background(), "quick")
		trace.WithRegion(ctx, "quick", func() { trace.Log(ctx, "state", "all is well") })
		task.End()
		time.Sleep(time.Millisecond)
	}
}

func main() {
	if err := trace.Start(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go noise(stop, done)
	time.Sleep(100 * time.Millisecond)
	do(os.Args[1])
	time.Sleep(100 * time.Millisecond)
	close(stop)
	<-done
	trace.Stop()
}
