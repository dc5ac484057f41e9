# pod_man.pl FILE...: makes a manual page of the documentation in each Perl module.
use strict;
use warnings;
use Pod::Man;
my ($page, $total) = ('', 0);
for my $file (@ARGV) {
    my $parser = Pod::Man->new;
    $parser->output_string(\$page);
    $parser->parse_file($file);
    $total += length $page;
    $page = '';
}
print "$total\n";
