// mkimage builds a one-layer scratch image from local files, pushes it to a plain-HTTP registry and prints
// repository@digest.
//
//	mkimage -ref HOST:PORT/name:tag [-entrypoint /prog] [-user 65532:65532] [-env K=V,...] FILE=/path/in/image ...
//
// Times, owners, modes and order are fixed, so the same files give the same digest on every machine. With -dry-run
// nothing is pushed: the digest alone is wanted.
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("mkimage: ")
	ref := flag.String("ref", "", "where to push: HOST:PORT/name:tag")
	entrypoint := flag.String("entrypoint", "", "program to run, with its arguments separated by commas")
	user := flag.String("user", "65532:65532", "numeric user and group")
	env := flag.String("env", "", "environment, K=V separated by commas")
	dryRun := flag.Bool("dry-run", false, "print the digest, push nothing")
	flag.Parse()
	tag, err := name.NewTag(*ref, name.Insecure)
	if err != nil {
		log.Fatal(err)
	}
	image, err := build(v1.Config{Entrypoint: list(*entrypoint), User: *user, Env: list(*env), WorkingDir: "/"}, flag.Args())
	if err != nil {
		log.Fatal(err)
	}
	if !*dryRun {
		if err := remote.Write(tag, image); err != nil {
			log.Fatalf("pushing %s: %v", tag, err)
		}
	}
	digest, err := image.Digest()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tag.Context().Name() + "@" + digest.String())
}

func list(commaSeparated string) []string {
	if commaSeparated == "" {
		return nil
	}
	return strings.Split(commaSeparated, ",")
}

func build(config v1.Config, files []string) (v1.Image, error) {
	content, err := archive(files)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", runtime.GOARCH, config
	return mutate.ConfigFile(image, file)
}

// archive writes the layer. A header says nothing but name, size and mode: all else differs from build to build.
func archive(files []string) ([]byte, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	made := map[string]bool{}
	for _, file := range slices.Sorted(slices.Values(files)) {
		source, target, found := strings.Cut(file, "=")
		if !found || !path.IsAbs(target) {
			return nil, errors.New(file + ": want FILE=/path/in/image")
		}
		target = strings.TrimPrefix(path.Clean(target), "/")
		for i, c := range target {
			if c == '/' && !made[target[:i]] {
				made[target[:i]] = true
				if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: target[:i] + "/", Mode: 0o755}); err != nil {
					return nil, err
				}
			}
		}
		content, err := os.ReadFile(source)
		if err != nil {
			return nil, err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: target, Size: int64(len(content)), Mode: 0o755}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}
