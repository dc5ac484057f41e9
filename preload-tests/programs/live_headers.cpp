// Something for the compiler to work on.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

template <int N> struct Shape : Shape<N - 1> {
    std::map<std::string, std::vector<std::unique_ptr<Shape<N - 1>>>> parts;
    void sort(std::vector<std::pair<int, std::string>> &names) {
        std::sort(names.begin(), names.end(), [](auto &a, auto &b) { return a.first % N < b.first % N; });
    }
};
template <> struct Shape<0> {};

int main() {
    Shape<8> shape;
    std::vector<std::pair<int, std::string>> names{{1, "a"}, {2, "b"}};
    shape.sort(names);
    std::unordered_map<std::string, std::function<int(int)>> functions{{"f", [](int x) { return x + 1; }}};
    std::regex pattern("(a+)(b*)");
    std::cout << std::regex_match(names[0].second, pattern) << functions["f"](1) << "\n";
}
