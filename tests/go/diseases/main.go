// Diseases runs a program with one disease under the tracer, and writes the trace to a file:
//
//	diseases NAME FILE [DURATION]
//
// The names are the cases below; "healthy" has none.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/trace"
	"sync"
	"sync/atomic"
	"time"
)

var sink atomic.Value

// work keeps a processor busy, and can be preempted.
func work(d time.Duration) {
	n := 0
	for start := time.Now(); time.Since(start) < d; n++ {
	}
	sink.Store(n)
}

// healthy answers requests as a service does: some work, some waiting.
func healthy(stop <-chan struct{}) {
	requests := make(chan chan int, 16)
	for range 8 {
		go func() {
			for reply := range requests {
				work(50 * time.Microsecond)
				reply <- 1
			}
		}()
	}
	for {
		select {
		case <-stop:
			close(requests)
			return
		case <-time.After(2 * time.Millisecond):
		}
		reply := make(chan int)
		requests <- reply
		<-reply
	}
}

// leaked waits for an answer that nobody gives.
func leaked(answer <-chan int) { <-answer }

func leak(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(15 * time.Millisecond):
			go leaked(make(chan int))
		}
	}
}

// forever waits for a channel that there is not.
func forever(stop <-chan struct{}) {
	for range 40 {
		go func() {
			var none chan int
			<-none
		}()
	}
	<-stop
}

// convoy has all goroutines queue for one lock, which is handed on.
func convoy(stop <-chan struct{}) {
	var lock sync.Mutex
	for range 24 {
		go func() {
			for {
				lock.Lock()
				// Longer than a goroutine spins, so that the next one is asleep and is handed the lock.
				time.Sleep(2 * time.Millisecond)
				lock.Unlock()
			}
		}()
	}
	<-stop
}

// pile makes many more goroutines ready than there are processors.
func pile(stop <-chan struct{}) {
	for {
		var done sync.WaitGroup
		for range 100 * runtime.GOMAXPROCS(0) {
			done.Go(func() { work(500 * time.Microsecond) })
		}
		done.Wait()
		select {
		case <-stop:
			return
		default:
		}
	}
}

// storm collects garbage all the time, of a heap that takes long to mark.
func storm(stop <-chan struct{}) {
	one := new(int)
	keep := make([]*int, 1<<22)
	for n := range keep {
		keep[n] = one
	}
	for {
		runtime.GC()
		select {
		case <-stop:
			runtime.KeepAlive(keep)
			return
		default:
		}
	}
}

// timers has goroutines that wake up only to sleep again.
func timers(stop <-chan struct{}) {
	for range 10 * runtime.GOMAXPROCS(0) {
		go func() {
			for {
				time.Sleep(100 * time.Microsecond)
			}
		}()
	}
	<-stop
}

// fetch asks a server again and again.
func fetch(address string, stop <-chan struct{}) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	answer := make([]byte, 1)
	for {
		trace.WithRegion(context.Background(), "fetch", func() {
			conn.Write(answer)
			conn.Read(answer)
		})
		select {
		case <-stop:
			return
		default:
		}
	}
}

// network has a peer that is far away: answers take 150 ms.
func network(stop <-chan struct{}) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer server.Close()
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				question := make([]byte, 1)
				for {
					if n, _ := conn.Read(question); n == 0 {
						return
					}
					time.Sleep(150 * time.Millisecond)
					conn.Write(question)
				}
			}()
		}
	}()
	var clients sync.WaitGroup
	for range 8 {
		clients.Add(1)
		go func() {
			defer clients.Done()
			fetch(server.Addr().String(), stop)
		}()
	}
	clients.Wait()
}

// spin computes without a point at which it could be preempted, if GODEBUG=asyncpreemptoff=1.
//
//go:noinline
func spin(n int) (sum int) {
	for i := range n {
		sum += i ^ sum<<1
	}
	return sum
}

// long is a number of steps for about 300 ms.
func long() int {
	start := time.Now()
	sink.Store(spin(10_000_000))
	return int(3e15 / float64(time.Since(start)))
}

// greedy keeps all processors for itself while others are ready.
func greedy(stop <-chan struct{}) {
	steps := long()
	for {
		for range 2 * runtime.GOMAXPROCS(0) {
			go func() { sink.Store(spin(steps)) }()
		}
		select {
		case <-stop:
			return
		case <-time.After(time.Second):
		}
	}
}

// longstop stops the world while a goroutine will not stop.
func longstop(stop <-chan struct{}) {
	steps := long()
	for {
		go func() { sink.Store(spin(steps)) }()
		time.Sleep(20 * time.Millisecond)
		runtime.GC()
		select {
		case <-stop:
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// stops stops the world again and again.
func stops(stop <-chan struct{}) {
	var stats runtime.MemStats
	for {
		select {
		case <-stop:
			return
		case <-time.After(2 * time.Millisecond):
			runtime.ReadMemStats(&stats)
		}
	}
}

func main() {
	diseases := map[string]func(<-chan struct{}){
		"healthy": healthy, "leak": leak, "forever": forever, "convoy": convoy, "pile": pile,
		"storm": storm, "timers": timers, "stops": stops, "greedy": greedy, "longstop": longstop,
		"network": network,
	}
	if len(os.Args) < 3 || diseases[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: diseases NAME FILE [DURATION]")
		os.Exit(2)
	}
	length := time.Second
	if len(os.Args) > 3 {
		var err error
		if length, err = time.ParseDuration(os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	file, err := os.Create(os.Args[2])
	if err == nil {
		err = trace.Start(file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		diseases[os.Args[1]](stop)
		close(done)
	}()
	time.Sleep(length)
	close(stop)
	<-done
	trace.Stop()
	if err := file.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
