package origin

// Of returns the URL of a key.
func Of(a Address, key string) (string, error) { return a.of(key) }
