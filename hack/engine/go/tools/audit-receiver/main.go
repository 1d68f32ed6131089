// audit-receiver is the other machine to which Vault's second audit device writes: it takes lines over TCP and prints them.
//
// It never answers, as a collector of logs does not: Vault waits for nothing but the write.
package main

import (
	"bufio"
	"flag"
	"log"
	"net"
	"os"
	"sync"
)

// A longer record ends its connection; Vault opens another.
const longest = 1 << 20

func main() {
	address := flag.String("listen", ":9090", "where to listen")
	flag.Parse()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	var printing sync.Mutex
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go receive(connection, &printing)
	}
}

func receive(connection net.Conn, printing *sync.Mutex) {
	defer connection.Close()
	lines := bufio.NewScanner(connection)
	lines.Buffer(nil, longest)
	for lines.Scan() {
		printing.Lock()
		_, err := os.Stdout.Write(append(lines.Bytes(), '\n'))
		printing.Unlock()
		if err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Print(err)
	}
}
