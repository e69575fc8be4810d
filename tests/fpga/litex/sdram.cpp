// Drives the SDRAM's model from a list of edges on the standard input, ten numbers each; prints what it drives.
#include <cstdio>

#include "sdram.h"

int main() {
    Sdram chip(10);
    unsigned pins[10];
    try {
        while (true) {
            for (unsigned& pin : pins)
                if (std::scanf("%u", &pin) != 1) return 0;
            chip.edge({pins[0] != 0, pins[1] != 0, pins[2] != 0, pins[3] != 0, pins[4] != 0, pins[5], pins[6], pins[7],
                       pins[8], pins[9] != 0});
            std::printf("%d\n", chip.driving ? int(chip.data) : -1);
        }
    } catch (const std::exception& error) {
        std::puts(error.what());
        return 1;
    }
}
