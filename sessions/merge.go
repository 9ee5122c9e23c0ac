package sessions

// mergeValues applies a JSON merge patch as RFC 7396 says: what the patch does
// not name stays, a member that it gives as null goes, objects are merged
// within, and anything else of the patch takes the place of what was there.
// The result shares what it can with both.
func mergeValues(target, patch value) value {
	if !patch.isObject {
		return patch
	}
	merged := value{isObject: true}
	old, changes := target.members, patch.members // none where target is no object
	for len(old) > 0 || len(changes) > 0 {
		switch {
		case len(changes) == 0 || len(old) > 0 && old[0].name < changes[0].name:
			merged.members = append(merged.members, old[0])
			old = old[1:]
			continue
		case len(old) == 0 || changes[0].name < old[0].name:
			if !changes[0].value.isNull() {
				added := mergeValues(value{}, changes[0].value)
				merged.members = append(merged.members, member{changes[0].name, changes[0].raw, added})
			}
		default:
			if !changes[0].value.isNull() {
				changed := mergeValues(old[0].value, changes[0].value)
				merged.members = append(merged.members, member{old[0].name, old[0].raw, changed})
			}
			old = old[1:]
		}
		changes = changes[1:]
	}
	return merged
}

// count is how many members an object and those in it have.
func (v value) count() (n int) {
	for _, m := range v.members {
		n += 1 + m.value.count()
	}
	return n
}
