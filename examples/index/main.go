// Command index serves lookups in a sorted file of lines "key TAB value" over
// HTTP, from a map of the file, and takes up another file that replaces it.
//
//	cd examples/index
//	printf 'apple\tred\nbanana\tyellow\n' >fruit.tsv
//	go run . -file fruit.tsv &
//	curl localhost:8080/banana
//
// Replace the file by renaming another one over it: lookups that are under way
// finish in the old one.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/fmmap-go/fmmap/examples/internal/cli"
)

func main() {
	cli.Main("index", func(ctx context.Context, args []string, out, errs io.Writer) error {
		return run(ctx, args, out, errs, nil)
	})
}

// run serves until ctx is done. ready, which may be nil, is called with the
// address.
func run(ctx context.Context, args []string, out, errs io.Writer, ready func(net.Addr)) (err error) {
	flags := flag.NewFlagSet("index", flag.ContinueOnError)
	file := flags.String("file", "", "the sorted file")
	addr := flags.String("http", "localhost:8080", "the address to serve")
	every := flags.Duration("every", time.Second, "how often to look whether the file has been replaced")
	err = cli.Parse(flags, "index -file FILE [flags]", args, out, func() error {
		if *file == "" || *every <= 0 || flags.NArg() > 0 {
			return errors.New("give -file, a positive -every, and nothing else")
		}
		return nil
	})
	if err != nil {
		return err
	}
	index, err := OpenIndex(*file)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := index.Close(); err == nil {
			err = cerr
		}
	}()
	log := slog.New(slog.NewTextHandler(errs, nil))
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler(index, log), ReadHeaderTimeout: 5 * time.Second}
	over := make(chan error, 1)
	go func() { over <- server.Serve(l) }() // ends with Shutdown
	if ready != nil {
		ready(l.Addr())
	}
	index.Watch(ctx, *every, func(reloaded bool, err error) { reported(log, reloaded, err) })
	if err := server.Shutdown(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	if err := <-over; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// reported logs what came of a reload. After a failed one, the file of before is
// served on, unless the new one was taken up and only closing the old one failed.
func reported(log *slog.Logger, reloaded bool, err error) {
	if err != nil {
		log.Warn("reload", "reloaded", reloaded, "err", err)
		return
	}
	log.Info("file replaced")
}

// handler serves GET /key: the value, or not found.
func handler(index *Index, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		value, ok, err := index.Lookup(strings.TrimPrefix(r.URL.Path, "/"))
		switch {
		case err != nil:
			log.Error("lookup", "key", r.URL.Path, "err", err)
			http.Error(w, "the index cannot be read", http.StatusInternalServerError)
		case !ok:
			http.NotFound(w, r)
		default:
			_, _ = w.Write(append(value, '\n'))
		}
	})
	return mux
}
