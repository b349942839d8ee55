package admin

import (
	"embed"
	"net/http"
)

//go:embed page
var pageFiles embed.FS

// page adds the page: its files are in the program, and load nothing from elsewhere.
func (h *Handler) page() {
	for pattern, file := range map[string]string{"GET /{$}": "page/index.html", "GET /page.css": "page/page.css", "GET /page.js": "page/page.js"} {
		h.guarded(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'")
			http.ServeFileFS(w, r, pageFiles, file)
		}))
	}
	h.guarded("GET /dashboard/", http.RedirectHandler("/", http.StatusFound))
}
