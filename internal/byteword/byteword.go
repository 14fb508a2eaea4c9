// Package byteword says bytes in words, which two people can compare by voice.
package byteword

import "strings"

// Text returns a word for each byte.
func Text(data []byte) string {
	list := strings.Fields(words)
	out := make([]string, len(data))
	for i, b := range data {
		out[i] = list[b]
	}
	return strings.Join(out, " ")
}
