// Package nearest finds what somebody may have meant by a word that is not known.
package nearest

import "fmt"

// Hint asks whether the one of some words that is most like another was meant, in brackets and after a
// blank; it is empty when none is.
func Hint(word string, words []string) string {
	if near := Word(word, words); near != "" {
		return fmt.Sprintf(" (did you mean %s?)", near)
	}
	return ""
}

// Word returns the one of some words that is most like a word, or "" when none is: at most a third of
// its letters may differ, and two neighbours that changed places count as one.
func Word(word string, words []string) string {
	best, least := "", len(word)/3+1
	if len(word) < 3 {
		least = 2 // in two letters one may be wrong
	}
	for _, w := range words {
		if d := distance(word, w); d > 0 && d < least {
			best, least = w, d
		}
	}
	return best
}

// distance counts the letters to be put in, left out, replaced, or exchanged with the next one
// (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			same := last[j]
			if a[i] != b[j] {
				same++
			}
			row[j+1] = min(same, row[j]+1, last[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
