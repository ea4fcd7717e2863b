package stores

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Fault is what becomes of a request to a store. The zero value lets it pass.
type Fault struct {
	// Status is answered in place of the store's, with Code, the word by which S3 says why.
	Status int
	Code   string
	// Delay before the request is passed on.
	Delay time.Duration
	// Cut ends the connection within the answer, after so many bytes of its body. 0: it does not.
	Cut int64
	// LostBefore ends the connection before the store has seen the request, LostAfter once it has done it.
	LostBefore, LostAfter bool
}

// Proxy stands between a client and an S3 store, and misbehaves as it is told to.
type Proxy struct {
	server *httptest.Server

	mu   sync.Mutex
	hook func(*http.Request) Fault
}

var (
	errLost = errors.New("the answer is lost")
	errCut  = errors.New("the answer is cut off")
)

// NewProxy in front of a store. It lets everything pass at first.
func NewProxy(t testing.TB, store *Server) *Proxy {
	t.Helper()

	target, err := url.Parse(store.Config.Endpoint)
	if err != nil {
		t.Fatal(err)
	}

	p := &Proxy{}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16}
	forward := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			// The name that was asked for is part of the signature.
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	forward.ModifyResponse = func(answer *http.Response) error {
		fault, _ := answer.Request.Context().Value(faultKey{}).(Fault)

		switch {
		case fault.LostAfter:
			return errLost
		case fault.Cut > 0:
			answer.Body = cut{answer.Body, io.LimitReader(answer.Body, fault.Cut)}
		}

		return nil
	}

	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, forward) }))
	t.Cleanup(func() {
		p.server.CloseClientConnections()
		p.server.Close()
		transport.CloseIdleConnections()
	})

	return p
}

// URL is the endpoint in place of the store's.
func (p *Proxy) URL() string { return p.server.URL }

// Misbehave from now on as the hook says of each request; nil lets everything pass.
func (p *Proxy) Misbehave(hook func(*http.Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.hook = hook
}

func (p *Proxy) fault(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.hook == nil {
		return Fault{}
	}

	return p.hook(r)
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	fault := p.fault(r)

	if fault.Delay > 0 {
		select {
		case <-time.After(fault.Delay):
		case <-r.Context().Done():
		}
	}

	switch {
	case fault.LostBefore:
		panic(http.ErrAbortHandler)
	case fault.Status != 0:
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(fault.Status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>as the test wants it</Message></Error>", fault.Code)
	default:
		forward.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), faultKey{}, fault)))
	}
}

type faultKey struct{}

// cut is a body that ends too early.
type cut struct {
	io.Closer

	limited io.Reader
}

func (c cut) Read(into []byte) (int, error) {
	n, err := c.limited.Read(into)
	if errors.Is(err, io.EOF) {
		err = errCut
	}

	return n, err
}
