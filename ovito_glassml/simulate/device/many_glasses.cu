// Molecular dynamics and relaxation of many glasses at once, one block of threads each; goes on from block_forces.cu.
//
// Pair arithmetic is in single precision, positions, velocities and the thermostat are in double.
// Units: Å, ps, eV, g/mol.

#define ATOMIC_ACCELERATION 9648.5332  // Å/ps² of 1 g/mol under 1 eV/Å
#define BOLTZMANN 8.617333262e-5       // eV/K
#define CHAIN 3                        // thermostats in a Nosé-Hoover chain

struct Glasses {
    double *positions, *velocities;  // [glass][atom][3]
    float *forces;                   // [glass][atom][3]
    real4 *listed_at;                // of all glasses, as in Block
    ushort4 *neighbours;
    int *counts;
    const unsigned char *kinds;
    const double *lengths;  // [glass]
    double masses[2], skin;
    int atoms, room;
};

// One glass: what forces need, and how it moves.
struct Moving : Block {
    double *x, *v;
    float *f;
};

__device__ Moving glass_of_block(const Glasses &all, const Potential &potential) {
    Moving own;
    const size_t first = (size_t)blockIdx.x * all.atoms;
    own.atoms = own.moving = all.atoms, own.room = all.room, own.density = nullptr;
    own.x = all.positions + 3 * first;
    own.v = all.velocities + 3 * first;
    own.f = all.forces + 3 * first;
    own.listed_at = all.listed_at + first;
    own.neighbours = all.neighbours + first * (all.room / 4);
    own.counts = all.counts + 2 * first;
    own.kinds = all.kinds + first;
    own.length = (real)all.lengths[blockIdx.x], own.per_length = (real)(1.0 / all.lengths[blockIdx.x]);
    own.skin = (real)all.skin;
    share_memory(potential, own);
    return own;
}

__device__ void place(const Moving &own, int i) { place(own, i, own.x[3 * i], own.x[3 * i + 1], own.x[3 * i + 2]); }

__device__ void find_forces(const Potential &potential, const Moving &own) {
    embed(potential, own);
    __syncthreads();
    for (int i = threadIdx.x; i < own.atoms; i += blockDim.x) {
        const real4 force = force_on(potential, own, i);
        own.f[3 * i] = force.x;
        own.f[3 * i + 1] = force.y;
        own.f[3 * i + 2] = force.z;
    }
    __syncthreads();
}

__device__ int begin(const Potential &potential, const Moving &own) {
    for (int i = threadIdx.x; i < own.atoms; i += blockDim.x) place(own, i);
    __syncthreads();
    const int longest = list_neighbours(potential, own);
    __syncthreads();
    find_forces(potential, own);
    return longest;
}

// Half a step of the thermostats; returns what the velocities are to be multiplied with.
// Source: G. J. Martyna et al., Mol. Phys. 87, 1117 (1996).
__device__ double thermostat(double *rates, double twice_kinetic, double warmth, int degrees, double half, double damp) {
    double inertia[CHAIN];
    for (int k = 0; k < CHAIN; k++) inertia[k] = (k ? 1 : degrees) * warmth * damp * damp;
    double factor[CHAIN];
    for (int k = CHAIN - 1; k >= 0; k--) {
        const double push = k ? inertia[k - 1] * rates[k - 1] * rates[k - 1] - warmth : twice_kinetic - degrees * warmth;
        factor[k] = k + 1 < CHAIN ? exp(-0.25 * half * rates[k + 1]) : 1.0;
        rates[k] = (rates[k] * factor[k] + 0.5 * half * push / inertia[k]) * factor[k];
    }
    const double scale = exp(-half * rates[0]);
    twice_kinetic *= scale * scale;
    for (int k = 0; k < CHAIN; k++) {
        if (k + 1 < CHAIN) factor[k] = exp(-0.25 * half * rates[k + 1]);
        const double push = k ? inertia[k - 1] * rates[k - 1] * rates[k - 1] - warmth : twice_kinetic - degrees * warmth;
        rates[k] = (rates[k] * factor[k] + 0.5 * half * push / inertia[k]) * factor[k];
    }
    return scale;
}

__device__ double twice_kinetic_energy(const Glasses &all, const Moving &own) {
    double kinetic = 0.0;
    for (int i = threadIdx.x; i < own.atoms; i += blockDim.x)
        for (int axis = 0; axis < 3; axis++)
            kinetic += all.masses[own.kinds[i]] * own.v[3 * i + axis] * own.v[3 * i + axis];
    return sum_over_block(kinetic, own.sums) / ATOMIC_ACCELERATION;
}

// Molecular dynamics at fixed volume from step `first` of `total`, over which the temperature (K) goes from
// `start` to `stop`. `rates` [glass][CHAIN] are the thermostats; `longest` [glass] gets the longest list.
extern "C" __global__ void __launch_bounds__(512, 2)
dynamics(const Glasses *glasses, const Potential *functions, int steps, double timestep, double damp,
         const double *start, const double *stop, int first, int total, double *rates, int *longest) {
    const Glasses all = *glasses;
    const Potential potential = *functions;
    const Moving own = glass_of_block(all, potential);
    const int degrees = 3 * own.atoms - 3;
    const double half = 0.5 * timestep, begins = start[blockIdx.x], ends = stop[blockIdx.x];
    double chain[CHAIN];
    for (int k = 0; k < CHAIN; k++) chain[k] = rates[blockIdx.x * CHAIN + k];
    int needed = begin(potential, own);
    double twice_kinetic = twice_kinetic_energy(all, own), scale = 1.0;
    for (int step = first; step < first + steps; step++) {
        double warmth = BOLTZMANN * (begins + (ends - begins) * step / total);
        const double slower = thermostat(chain, twice_kinetic, warmth, degrees, half, damp);
        scale *= slower;
        int moved = 0;
        for (int i = threadIdx.x; i < own.atoms; i += blockDim.x) {
            const double kick = half * ATOMIC_ACCELERATION / all.masses[own.kinds[i]];
            for (int axis = 0; axis < 3; axis++) {
                const double v = own.v[3 * i + axis] * scale + kick * own.f[3 * i + axis];
                own.v[3 * i + axis] = v;
                own.x[3 * i + axis] += timestep * v;
            }
            place(own, i);
            moved |= has_moved(own, i);
        }
        if (__syncthreads_or(moved)) needed = max(needed, list_neighbours(potential, own));
        __syncthreads();
        find_forces(potential, own);
        for (int i = threadIdx.x; i < own.atoms; i += blockDim.x) {
            const double kick = half * ATOMIC_ACCELERATION / all.masses[own.kinds[i]];
            for (int axis = 0; axis < 3; axis++) own.v[3 * i + axis] += kick * own.f[3 * i + axis];
        }
        twice_kinetic = twice_kinetic_energy(all, own);
        warmth = BOLTZMANN * (begins + (ends - begins) * (step + 1) / total);
        scale = thermostat(chain, twice_kinetic, warmth, degrees, half, damp);
        twice_kinetic *= scale * scale;
    }
    for (int i = threadIdx.x; i < own.atoms; i += blockDim.x)
        for (int axis = 0; axis < 3; axis++) own.v[3 * i + axis] *= scale;
    atomicMax(longest + blockIdx.x, needed);
    if (threadIdx.x == 0)
        for (int k = 0; k < CHAIN; k++) rates[blockIdx.x * CHAIN + k] = chain[k];
}

// Minimum below each configuration, until no force exceeds `tolerance` (eV/Å) or for `steps` steps; the largest
// force that is left goes into `forces_left`. FIRE: E. Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006).
extern "C" __global__ void __launch_bounds__(512, 2)
relaxation(const Glasses *glasses, const Potential *functions, int steps, float tolerance, float *forces_left,
           int *longest) {
    const Glasses all = *glasses;
    const Potential potential = *functions;
    const float first_timestep = 0.04f, longest_timestep = 0.16f, longest_move = 0.1f;  // masses 1 Å⁻² eV
    const Moving own = glass_of_block(all, potential);
    for (int k = threadIdx.x; k < 3 * own.atoms; k += blockDim.x) own.v[k] = 0.0;
    int needed = begin(potential, own), downhill = 0;
    float timestep = first_timestep, mixing = 0.1f, largest = 0.0f;
    for (int step = 0; step < steps; step++) {
        double power = 0.0, speed = 0.0, strength = 0.0;
        for (int i = threadIdx.x; i < own.atoms; i += blockDim.x)
            for (int axis = 0; axis < 3; axis++) {
                const double v = own.v[3 * i + axis], f = own.f[3 * i + axis];
                power += v * f, speed += v * v, strength += f * f;
            }
        power = sum_over_block(power, own.sums);
        speed = sqrt(sum_over_block(speed, own.sums));
        strength = sqrt(sum_over_block(strength, own.sums));
        if (power < 0.0) {
            downhill = 0, timestep *= 0.5f, mixing = 0.1f;
        } else if (++downhill > 5) {
            timestep = fminf(1.1f * timestep, longest_timestep), mixing *= 0.99f;
        }
        const double keep = power < 0.0 ? 0.0 : 1.0 - mixing, turn = power < 0.0 ? 0.0 : mixing * speed / (strength + 1e-30);
        int moved = 0;
        for (int i = threadIdx.x; i < own.atoms; i += blockDim.x) {
            double move[3], square = 0.0;
            for (int axis = 0; axis < 3; axis++) {
                const double f = own.f[3 * i + axis], v = own.v[3 * i + axis] * keep + f * (turn + timestep);
                own.v[3 * i + axis] = v;
                move[axis] = timestep * v;
                square += move[axis] * move[axis];
            }
            const double shorter = square > longest_move * longest_move ? longest_move / sqrt(square) : 1.0;
            for (int axis = 0; axis < 3; axis++) own.x[3 * i + axis] += shorter * move[axis];
            place(own, i);
            moved |= has_moved(own, i);
        }
        if (__syncthreads_or(moved)) needed = max(needed, list_neighbours(potential, own));
        __syncthreads();
        find_forces(potential, own);
        int unrest = 0;
        largest = 0.0f;
        for (int i = threadIdx.x; i < own.atoms; i += blockDim.x) {
            const float x = own.f[3 * i], y = own.f[3 * i + 1], z = own.f[3 * i + 2];
            largest = fmaxf(largest, sqrtf(x * x + y * y + z * z));
        }
        unrest = largest > tolerance;
        if (!__syncthreads_or(unrest)) break;
    }
    atomicMax((int *)forces_left + blockIdx.x, __float_as_int(largest));  // order of positive floats
    atomicMax(longest + blockIdx.x, needed);
}
