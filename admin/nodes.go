package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// told is what one node has answered.
type told struct {
	URL  string `json:"url"`
	Data string `json:"data"`
	Err  string `json:"err"`
}

const (
	maxAsked  = 16      // nodes that are asked at the same time
	maxAnswer = 1 << 20 // bytes
)

// askAll asks all nodes for a path. The answers are in the order of the nodes.
func (h *Handler) askAll(ctx context.Context, path string) []told {
	nodes := h.cfg.Nodes()
	answers := make([]told, len(nodes))
	places := make(chan struct{}, maxAsked)
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			answers[i] = h.ask(ctx, n, path)
		})
	}
	wg.Wait()
	return answers
}

func (h *Handler) ask(ctx context.Context, n Node, path string) told {
	t := told{URL: n.URL + path}
	if n.Name == h.cfg.Self {
		var own any = online(h.cfg.Broker.Metrics())
		if path == "/api/v1/mqtt/stat/overall" {
			own = h.overall(ctx)
		}
		data, err := json.Marshal(own)
		t.Data = string(data)
		if err != nil {
			t.Err = err.Error()
		}
		return t
	}
	data, err := h.get(ctx, n, path)
	if err != nil {
		t.Err = fmt.Sprintf("node %s: %v", n.Name, err)
	}
	t.Data = string(data)
	return t
}

func (h *Handler) get(ctx context.Context, n Node, path string) ([]byte, error) {
	if n.URL == "" {
		return nil, fmt.Errorf("it has no info listener")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	if h.cfg.Token != "" {
		r.Header.Set("Authorization", "Bearer "+h.cfg.Token)
	}
	answer, err := h.cfg.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // it is only read
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %.200s", answer.Status, body)
	}
	return body, nil
}
