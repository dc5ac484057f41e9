// The example in C++: an index of items, of which one copy leaks.
#include <iostream>
#include <map>
#include <string>
#include <vector>

struct Item {
    std::string name;
    std::vector<int> numbers;
};

struct Index {
    std::map<std::string, Item> by_name;
    std::vector<Item> in_order;

    void load(int count) {
        for (int i = 0; i < count; i++) {
            Item item;
            item.name = "a rather long name of item " + std::to_string(i);
            item.numbers.resize(i % 50);
            by_name[item.name] = item;
            in_order.push_back(item);
        }
    }
};

std::string render(const Index &index) {
    std::string text;
    for (const auto &entry : index.by_name) text += entry.first + "\n";
    return text;
}

void forget(int count) {
    Index *copy = new Index;
    copy->load(count);
}

int main(int argc, char **argv) {
    Index index;
    index.load(argc > 1 ? std::stoi(argv[1]) : 5000);
    forget(100);
    std::cout << render(index).size() << std::endl;
}
