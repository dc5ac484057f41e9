//! Labels of runs: what the user or the CI job calls them, such as `commit=1f0c3a` or `branch=main`.

use super::{Process, Profile, Str};

impl Profile {
    /// The labels of a process as pairs of key and value, sorted by key; each key once.
    pub fn labels<'p>(&'p self, process: &Process) -> impl Iterator<Item = (&'p str, &'p str)> {
        let text = move |&(key, value): &(Str, Str)| (self.text(key), self.text(value));
        process.labels.iter().map(text)
    }

    /// Sets labels of all processes. A value replaces the one that a process has for this key; an empty value
    /// removes it.
    pub fn set_labels(&mut self, labels: &[(String, String)]) {
        for (key, value) in labels {
            let pair = (self.index_of(key), self.index_of(value));
            for process in &mut self.processes {
                process.labels.retain(|label| label.0 != pair.0);
                if pair.1 != 0 {
                    process.labels.push(pair);
                }
            }
        }
        let Self {
            strings, processes, ..
        } = self;
        for process in processes {
            process
                .labels
                .sort_by_key(|label| strings.get(label.0 as usize));
        }
    }

    /// The index of a text, which is added if it is not there. There are few labels: the table is searched.
    fn index_of(&mut self, text: &str) -> Str {
        let known = self.strings.iter().position(|known| **known == *text);
        let index = known.unwrap_or_else(|| {
            self.strings.push(text.into());
            self.strings.len() - 1
        });
        index as Str
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::small;

    #[test]
    fn labels_are_set_replaced_and_removed() {
        let mut profile = small();
        let set = |profile: &mut crate::Profile, labels: &[(&str, &str)]| {
            let owned = labels
                .iter()
                .map(|&(key, value)| (key.to_owned(), value.to_owned()));
            profile.set_labels(&owned.collect::<Vec<_>>());
            profile.check().expect("in order");
            let labels = profile.labels(&profile.processes[0]);
            labels
                .map(|(key, value)| format!("{key}={value}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            set(&mut profile, &[("commit", "a1"), ("branch", "main")]),
            ["branch=main", "commit=a1"]
        );
        assert_eq!(
            set(&mut profile, &[("commit", "b2")]),
            ["branch=main", "commit=b2"]
        );
        assert_eq!(
            set(&mut profile, &[("branch", ""), ("job", "7")]),
            ["commit=b2", "job=7"]
        );
    }
}
