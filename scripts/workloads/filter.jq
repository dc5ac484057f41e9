[range(50000) | {id: ., name: "n\(. * 7919 % 10007)", tags: ["t\(. % 7)", "u\(. % 11)"]}]
| group_by(.tags) | map({tags: .[0].tags, count: length, names: (map(.name) | unique | length)})
