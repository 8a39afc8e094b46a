// An echo server on Go's net, a goroutine for every connection. Takes the size of its buffer, prints where it listens, and
// serves until a signal ends it.
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

const backlog = 4096

func main() {
	size := 0
	if len(os.Args) == 2 {
		size, _ = strconv.Atoi(os.Args[1])
	}
	if size <= 0 {
		fmt.Fprintln(os.Stderr, "usage: echo BUFFER")
		os.Exit(2)
	}
	listener, err := listen()
	check(err)
	fmt.Printf("listening on %v\n", listener.Addr())
	for {
		connection, err := listener.Accept()
		check(err)
		go echo(connection, size)
	}
}

// Go takes the system's longest backlog, whatever that is. To listen again sets it anew.
func listen() (net.Listener, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	raw, err := listener.(*net.TCPListener).SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Control(func(descriptor uintptr) { failed = syscall.Listen(int(descriptor), backlog) })
	if err == nil {
		err = failed
	}
	return listener, err
}

// NODELAY is on: Go sets it on every connection.
func echo(connection net.Conn, size int) {
	defer connection.Close()
	buffer := make([]byte, size)
	for {
		count, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err := connection.Write(buffer[:count]); err != nil {
			return
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}
