package api

import "net/http"

// headerFault refuses a request whose first line and headers together are larger than the limit.
func headerFault(r *http.Request) *problem {
	size := len(r.Method) + len(r.RequestURI)
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	if size > maxHeaderBytes {
		return headersTooLarge.problem("the request line and headers have %d bytes, at most %d are taken",
			size, maxHeaderBytes)
	}
	return nil
}
