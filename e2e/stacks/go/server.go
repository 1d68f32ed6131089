package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// refusals turns what net/http logs of a handshake into a line of ours.
type refusals struct{}

func (refusals) Write(line []byte) (int, error) {
	fmt.Fprintf(os.Stderr, "%s refused: %s\n", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), strings.TrimSpace(string(line)))
	return len(line), nil
}

func server(arguments []string) int {
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	var f files
	f.register(flags)
	listen := flags.String("listen", "127.0.0.1:0", "host:port to listen on")
	_ = flags.Parse(arguments)
	if err := f.serve(*listen); err != nil {
		complain("server", err)
		return 1
	}
	return 0
}

func (f *files) serve(listen string) error {
	roots, err := f.roots()
	if err != nil {
		return err
	}
	pair, err := f.pair()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "I'm up!") }),
		TLSConfig: &tls.Config{
			Certificates:           []tls.Certificate{*pair},
			ClientCAs:              roots,
			ClientAuth:             tls.RequireAndVerifyClientCert,
			SessionTicketsDisabled: true,
			NextProtos:             []string{"http/1.1"},
		},
		ReadTimeout:  patience,
		WriteTimeout: patience,
		ErrorLog:     log.New(refusals{}, "", 0),
	}
	server.SetKeepAlivesEnabled(false)
	fmt.Printf("listening %d\n", listener.Addr().(*net.TCPAddr).Port)

	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(listener, "", "") }()
	select {
	case err := <-failed:
		return err
	case <-ended.Done():
		return server.Close()
	}
}
