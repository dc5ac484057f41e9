# Hashes of arrays of strings, sorted, joined and split again.
use strict;
my %seen;
for my $i (1 .. 250_000) {
    push @{ $seen{ "key" . ($i * 7919 % 50_021) } }, "value $i" x ($i % 4 + 1);
}
my $total = 0;
for my $key (sort keys %seen) {
    my $line = join ",", @{ $seen{$key} };
    $total += length $_ for split /,/, $line;
}
print "$total\n";
