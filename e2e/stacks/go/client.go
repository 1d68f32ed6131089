package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"
)

const request = "GET /upcheck HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

// No answer to /upcheck is longer.
const maxAnswer = 1 << 20

type target struct {
	files
	address, name string
	// Read at start; nil if the roots are read for each handshake.
	roots *x509.CertPool
}

func client(arguments []string) int {
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	var t target
	t.register(flags)
	flags.StringVar(&t.address, "address", "", "host:port to connect to")
	flags.StringVar(&t.name, "name", "", "DNS name that the server's certificate must have")
	count := flags.Int("count", 1, "number of handshakes; 0: until SIGTERM")
	every := flags.Int("every", 100, "milliseconds from the start of one handshake to the start of the next")
	roots := flags.String("roots", "once", "when to read the roots: once, at start, or for each handshake")
	_ = flags.Parse(arguments)
	if t.address == "" || t.name == "" || *count < 0 || *every < 0 || (*roots != "once" && *roots != "each") {
		flags.Usage()
		return 2
	}
	if *roots == "once" {
		pool, err := t.files.roots()
		if err != nil {
			complain("roots", err)
			return 2
		}
		t.roots = pool
	}
	return t.repeat(*count, time.Duration(*every)*time.Millisecond)
}

func (t *target) repeat(count int, every time.Duration) int {
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	handshakes, failed := 0, 0
	next := time.Now()
	for (count == 0 || handshakes < count) && ended.Err() == nil {
		handshakes++
		if err := t.once(); err != nil {
			failed++
			complain(fmt.Sprintf("handshake %d failed", handshakes), err)
		}
		// A late handshake makes none of the later ones early.
		if next = next.Add(every); next.Before(time.Now()) {
			next = time.Now()
		}
		if handshakes != count {
			select {
			case <-ended.Done():
			case <-time.After(time.Until(next)):
			}
		}
	}
	fmt.Printf("{\"handshakes\":%d,\"failed\":%d}\n", handshakes, failed)
	if failed > 0 {
		return 1
	}
	return 0
}

func (t *target) once() error {
	config, err := t.config()
	if err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: patience}
	tcp, err := dialer.Dial("tcp", t.address)
	if err != nil {
		return err
	}
	defer tcp.Close()
	if err := tcp.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	connection := tls.Client(tcp, config)
	if err := connection.Handshake(); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	if _, err := io.WriteString(connection, request); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	defer response.Body.Close()
	switch read, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer)); {
	case err != nil:
		return fmt.Errorf("answer: %w", err)
	case read == maxAnswer:
		return errors.New("answer: too long")
	}
	return nil
}

// config has no session cache, so nothing is resumed.
func (t *target) config() (*tls.Config, error) {
	pair, err := t.pair()
	if err != nil {
		return nil, err
	}
	roots := t.roots
	if roots == nil {
		if roots, err = t.files.roots(); err != nil {
			return nil, err
		}
	}
	return &tls.Config{
		RootCAs:    roots,
		ServerName: t.name,
		// As GoQuorum presents it: whatever issuers the server names.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil },
	}, nil
}
