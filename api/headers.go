package api

import "net/http"

// headerFault refuses a request whose first line and headers together are larger than the limit. One that says that another
// node forwards it may be twice as large: that node has taken no more itself, and says again what was asked for.
func headerFault(r *http.Request) *problem {
	size := len(r.Method) + len(r.RequestURI)
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	limit := maxHeaderBytes
	if r.Header.Get(hopsHeader) != "" {
		limit = 2 * maxHeaderBytes
	}
	if size > limit {
		return headersTooLarge.problem("the request line and headers have %d bytes, at most %d are taken", size, limit)
	}
	return nil
}
