// Command dying traces itself to a file, works for a moment, and ends in the way that it is told to.
//
//	dying MODE FILE
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/trace"
	"sync"
	"syscall"
	"time"
)

var (
	sink    []byte
	none    *struct{ field int }
	zero    int
	numbers []int
)

// A way to end. None of them stops the trace but "return".
var modes = map[string]func(){
	"return": trace.Stop,
	"panic":  func() { panic("for the test") },
	"goroutine-panic": func() {
		go panic("in a goroutine")
		select {}
	},
	"panic-in-defer": func() {
		defer panic("the second")
		panic("the first")
	},
	"nil":          func() { none.field++ },
	"divide":       func() { fmt.Println(1 / zero) },
	"index":        func() { fmt.Println(numbers[3+zero]) },
	"makeslice":    func() { sink = make([]byte, zero-1) },
	"closed":       func() { c := make(chan int); close(c); close(c) },
	"unlock":       func() { new(sync.Mutex).Unlock() },
	"stack":        func() { debug.SetMaxStack(1 << 20); fmt.Println(deeper(1)) },
	"map":          writeMap,
	"memory":       useMemory,
	"exit":         func() { os.Exit(3) },
	"syscall-exit": func() { syscall.Exit(4) },
	"log-fatal":    func() { log.Fatal("for the test") },
	"SIGKILL":      func() { raise(syscall.SIGKILL) },
	"SIGTERM":      func() { raise(syscall.SIGTERM) },
	"SIGABRT":      func() { raise(syscall.SIGABRT) },
	"SIGSEGV":      func() { raise(syscall.SIGSEGV) },
	"SIGQUIT":      func() { raise(syscall.SIGQUIT) },
	// These two hang, for a trace keeps a timer; who started the program kills it.
	"deadlock": func() { select {} },
	"goexit":   func() { runtime.Goexit() },
}

func main() {
	log.SetFlags(0)
	die, ok := modes[os.Args[1]]
	if !ok {
		log.Fatalf("there is no mode %q", os.Args[1])
	}
	file, err := os.Create(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	signal.Reset()
	if err := trace.Start(file); err != nil {
		log.Fatal(err)
	}
	work(100 * time.Millisecond)
	die()
}

// work keeps a few goroutines busy: with channels, system calls, regions, garbage.
func work(length time.Duration) {
	ctx, task := trace.NewTask(context.Background(), "work")
	defer task.End()
	c := make(chan int)
	for range 4 {
		go func() {
			for n := range c {
				trace.WithRegion(ctx, "step", func() { sink = make([]byte, 1<<12+n) })
				syscall.Getppid()
				if n%64 == 0 {
					runtime.GC()
				}
			}
		}()
	}
	for start, n := time.Now(), 0; time.Since(start) < length; n++ {
		c <- n % 1000
		if n%100 == 0 {
			trace.Log(ctx, "count", fmt.Sprint(n))
			time.Sleep(time.Millisecond)
		}
	}
}

func deeper(n int) int { return deeper(n+1) + n }

func writeMap() {
	m := map[int]int{}
	for range 8 {
		go func() {
			for n := 0; ; n++ {
				m[n%8] = n
			}
		}()
	}
	select {}
}

// useMemory needs more than the operating system gives.
func useMemory() {
	limit := syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		log.Fatal(err)
	}
	var all [][]byte
	for {
		all = append(all, make([]byte, 1<<26))
	}
}

func raise(signal syscall.Signal) {
	syscall.Kill(os.Getpid(), signal)
	time.Sleep(time.Hour)
}
